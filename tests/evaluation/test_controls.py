"""Controls of explainers that learn, and what evaluate says beside its figures."""

import json
import logging

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.controls import PER_TARGET, Swapped, Template
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.explainers.learned.stalder import Stalder
from sb3_explain.states.baselines import fit_baselines
from sb3_explain.states.dataset import StateDataset
from tests.evaluation.test_evaluate import Bright, Learned

N, EPISODES = 60, 12


class Masks(Learned):
    """A fitted explainer whose masks depend on the state and on the target."""

    name = "masks"
    gives_masks = True

    def explain(self, batch):
        weight = (1 + batch.target.float()).view(-1, 1, 1, 1)
        return {"": (batch.observations / 255).pow(weight)}


@pytest.fixture(scope="module")
def agent():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 3))
    with torch.no_grad():
        net[1].weight /= 32
        net[3].weight *= 4
    return Agent.from_module(net, spaces.Box(0, 255, (1, 6, 6), np.uint8), spaces.Discrete(3))


def make_states(agent, seed, n=N):
    frames = np.random.default_rng(seed).integers(0, 256, (n, 1, 6, 6), dtype=np.uint8)
    greedy = agent.greedy(torch.from_numpy(frames).float()).numpy()
    return StateDataset.from_arrays(frames, np.arange(n) // (n // EPISODES), greedy)


@pytest.fixture(scope="module")
def states(agent):
    return make_states(agent, 0)


@pytest.fixture(scope="module")
def train(agent):
    return make_states(agent, 1, 600)


def test_a_template_is_the_mean_of_the_targets_training_states(agent, train):
    explainer = Masks(agent)
    template = Template(explainer, train)
    for action in np.unique(train.greedy):
        positions = np.flatnonzero(train.greedy == action)
        some = positions[:: -(-len(positions) // PER_TARGET)]
        each = [explainer.attribute(train.observations([i]), int(action)) for i in some]
        given = template.attribute(train.observations([0, 1]), int(action))
        torch.testing.assert_close(given[0], torch.cat(each).mean(dim=0))
        assert torch.equal(given[0], given[1])
    assert template.gives_masks and template.ranks_features


def test_a_target_of_no_training_state_has_no_template(agent, train, states, caplog):
    without = train.subset(np.flatnonzero(train.greedy != 1))
    with pytest.raises(ExplainError, match=r"no template of .* no training state") as refusal:
        Template(Masks(agent), without).attribute(states.observations([0]), 1)
    assert "\n" not in str(refusal.value)
    with caplog.at_level(logging.WARNING):
        rows = evaluate(agent, states, [Masks(agent)], ["insertion"], train=without).rows
    known = states.greedy != 1
    said = [record.getMessage() for record in caplog.records]
    [line] = [each for each in said if "template" in each]
    assert line == (
        f"template has no attributions of the target of {N - known.sum()} of {N} states, which do "
        "not count"
    )
    template = rows["masks template"]
    assert not template.failures and template.intervals["insertion"].n == known.sum() < N
    assert rows["masks"].intervals["insertion"].n == N
    alone = evaluate(
        agent, states.subset(np.flatnonzero(known)), {"own": Template(Masks(agent), without)},
        ["insertion"], baseline=fit_baselines("background", states, agent),
    )  # fmt: skip
    np.testing.assert_allclose(
        template.values["insertion"][known], alone.values["own"]["insertion"], atol=1e-6
    )
    assert np.isnan(template.values["insertion"][~known]).all()
    np.testing.assert_allclose(
        template.curves["insertion"], alone.curves["own"]["insertion"], atol=1e-6
    )
    here = states.subset(np.flatnonzero(states.greedy != 1))
    rare = evaluate(agent, here, [Masks(agent)], ["forced_action"], train=without).rows
    counted = rare["masks template"].intervals["forced_action"].n
    assert 0 < counted < rare["masks"].intervals["forced_action"].n == len(here)


def test_a_swapped_map_is_that_of_the_partner(agent, states):
    explainer = Masks(agent)
    others = OtherStates(agent, states, np.arange(N), states.greedy, seed=0)
    batch = states.batch(agent, [3, 8, 41]).resolve_target()
    given = Swapped(explainer, others).attribute_batch(batch)[""]
    for row, position in zip(given, (3, 8, 41), strict=True):
        partner = others.partners[position]
        expected = explainer.attribute(states.observations([partner]), int(states.greedy[position]))
        assert torch.equal(row, expected[0])
    # perturbed copies of a state have the same partner
    copies = batch.with_observations(batch.observations + 1)
    assert torch.equal(Swapped(explainer, others).attribute_batch(copies)[""], given)


def test_every_explainer_that_learns_has_both(agent, states, train):
    metrics = {"insertion": {"steps": 9}, "accuracy": {}}
    explainers = {"one": Masks(agent), "two": Learned(agent), "bright": Bright(agent)}
    evaluation = evaluate(agent, states, explainers, metrics, train=train)
    assert list(evaluation.rows) == [
        "one", "two", "bright", "one template", "one swapped", "two template", "two swapped",
        "empty", "constant", "random", "gradient",
    ]  # fmt: skip
    assert set(evaluation.values["one template"]) == {"insertion", "accuracy"}
    assert set(evaluation.values["two template"]) == {"insertion"}  # no masks, as "two" itself
    own = evaluate(
        agent, states, {"own": Template(Masks(agent), train)}, metrics, baseline="background"
    )
    for metric in metrics:
        np.testing.assert_array_equal(
            own.values["own"][metric], evaluation.values["one template"][metric]
        )


def test_specificity_is_own_minus_swapped(agent, states):
    metrics = {
        "insertion": {"steps": 20}, "policy_preservation": {"steps": 20},
        "specificity": {}, "policy_specificity": {},
    }  # fmt: skip
    values = evaluate(agent, states, [Masks(agent)], metrics).values
    own, swapped, template = (
        values[f"masks{control}"] for control in ("", " swapped", " template")
    )
    np.testing.assert_allclose(
        own["specificity"], own["insertion"] - swapped["insertion"], atol=1e-6
    )
    np.testing.assert_allclose(
        own["policy_specificity"],
        swapped["policy_preservation"] - own["policy_preservation"],
        atol=1e-6,
    )
    assert np.abs(own["specificity"]).max() > 0.01
    alike = [states.greedy[i] for i in range(N)]
    assert len(set(alike)) > 1 and (template["specificity"] == 0).all()


class Alike(Learned):
    """A fitted explainer whose map is the same for every state of an action."""

    name = "alike"

    def explain(self, batch):
        generator = torch.Generator().manual_seed(0)
        of_each = torch.rand(3, 1, 6, 6, generator=generator)
        return {"": of_each[batch.target]}


def test_the_summary_says_where_maps_are_the_same_for_all_states(agent, train):
    metrics = {"insertion": {"steps": 9}, "policy_preservation": {"steps": 9}, "specificity": {}}
    evaluation = evaluate(agent, train, [Alike(agent)], metrics, n_resamples=200)
    summary = evaluation.summary()
    assert (
        "By insertion and policy preservation, the maps of alike are much the same for every state "
        "of an action: another state's map does as well, and so does the mean map of the action."
    ) in summary
    assert all("\n" not in sentence for sentence in summary)
    assert not any("too narrow" in sentence for sentence in summary)  # 600 states, 12 episodes
    few = evaluate(agent, train.subset(np.arange(50)), [Bright(agent)], metrics, n_resamples=200)
    assert (
        "There are no intervals with 50 states where 300 are needed and 1 episode(s) where 5 are "
        "needed: collect" in few.summary()[-1]
    )
    assert "mean probability of the agent's action" in few.summary()[-2]


def test_the_agents_own_probability_stands_beside_insertion(agent, states):
    evaluation = evaluate(agent, states, [Bright(agent)], ["insertion", "sparseness"])
    with torch.no_grad():
        scores = agent.scores(states.observations(np.arange(N)).float())
    expected = scores.softmax(dim=1).amax(dim=1).mean().item()
    assert evaluation.states["own_probability"] == pytest.approx(expected, abs=1e-6)
    table = evaluation.table().set_index(["explainer", "metric"])["own_probability"]
    assert table["bright", "insertion"] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(table["bright", "sparseness"])
    json.dumps(evaluation.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("n", "episodes", "lacking"),
    [
        (300, 5, ""),
        (299, 12, "299 states where 300 are needed"),
        (400, 4, "4 episode(s) where 5 are needed"),
    ],
)
def test_few_states_or_episodes_are_noted(agent, n, episodes, lacking):
    frames = np.random.default_rng(0).integers(0, 256, (n, 1, 6, 6), dtype=np.uint8)
    states = StateDataset.from_arrays(frames, np.arange(n) * episodes // n, np.zeros(n, int))
    evaluation = evaluate(agent, states, [], ["sparseness"], n_resamples=10)
    [note] = set(evaluation.table()["note"])
    assert note == evaluation.states["note"]
    assert note == (
        f"intervals are too narrow with {lacking}: collect more states (n_states=, -n), or fewer "
        "of each episode (max_per_episode=, --max-per-episode)"
        if lacking
        else ""
    )


def test_masks_that_were_learned_for_another_baseline_are_noted(agent, states, train):
    explainer = Stalder(agent, baseline="black", network_options={"width": 4})
    explainer.fit(train, states, epochs=1, progress=False)

    def note(baseline):
        few = {"n_evaluated": 4, "n_resamples": 10}
        made = evaluate(agent, states, explainer, ["sparseness"], baseline=baseline, **few)
        return made.states["note"]

    assert note("mean").endswith("; stalder learned its masks for the baseline black")
    assert not note("black").endswith("black")
    assert not note(explainer.baselines).endswith("black")


def test_ranks_under_each_imputation(agent, states):
    metrics = {
        "insertion": {"steps": 9},
        "insertion donor": {"steps": 9, "perturb_baseline": "donor"},
        "deletion": {"steps": 9},
    }
    evaluation = evaluate(agent, states, [Bright(agent)], metrics)
    ranks = evaluation.ranks()
    assert list(ranks.columns) == list(metrics)
    for metric in metrics:
        means = {
            name: row.intervals[metric].mean
            for name, row in evaluation.rows.items()
            if metric in row.intervals
        }
        best_first = sorted(means, key=means.__getitem__, reverse="insertion" in metric)
        assert ranks[metric].dropna().sort_values().index.tolist() == best_first
    assert np.isnan(ranks.loc["empty", "insertion"])  # it orders nothing
    assert evaluation.ranks(controls=False).index.tolist() == ["bright"]
    donor = evaluation.values["bright"]["insertion donor"]
    assert not np.allclose(donor, evaluation.values["bright"]["insertion"])
