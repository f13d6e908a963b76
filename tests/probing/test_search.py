"""The search, novelty, goggles and activation maximisation, where the answer is known."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.learned.losses import total_variation
from sb3_explain.probing import StateGenerator, activation_maximization, goggles, novelty, probe
from sb3_explain.probing.distance import find_nearest, measure_difference
from sb3_explain.probing.search import merge
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from tests.toys import ThirdsNet, dot_agent, dot_states

TRAINING = {
    "epochs": 40,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "patience": 40,
    "precision": "no",
}


@pytest.fixture(scope="module")
def made():
    agent = dot_agent()
    train, validation, _ = dot_states(agent, 200).split(seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sb3_explain.probing.codecs.WIDTH", 8)  # it is enough for a dot
        generator = StateGenerator(agent, latent=8, lambda_kl=0.1)
    generator.fit(train, validation, progress=False, **TRAINING)
    return agent, generator, train


def search(made, target, **options):
    _, generator, _ = made
    options = {"n_samples": 12, "steps": 40, "progress": False, **options}
    return probe(generator, target, **options)


def test_the_search_finds_states_in_which_the_agent_wants_an_action(made):
    agent, generator, _ = made
    typical = agent.scores(generator.sample(100)).argmax(dim=1)
    for action, name in enumerate(agent.action_names):
        result = search(made, f"action:{name}")
        wanting = (result.scores.argmax(dim=1) == action).numpy()
        share = (wanting * result.counts).sum() / 12
        assert share > 0.9 > float((typical == action).float().mean())


def test_the_result_is_what_the_agent_says_of_its_states(made):
    agent, generator, train = made
    result = search(made, "value_low", states=train)
    scores, values = agent.scores_and_values(result.states)
    torch.testing.assert_close(result.scores, scores, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(result.energy, values.numpy(), atol=1e-5)
    torch.testing.assert_close(generator.decode(result.codes).detach(), result.states)
    assert (np.diff(result.energy) >= 0).all()
    assert result.counts.sum() == 12 and result.n_merged == 12 - len(result.energy)
    assert result.path.shape == (41, 12) and result.path[-1].mean() < result.path[0].mean()
    assert sorted(result.path[-1])[0] == pytest.approx(result.energy[0], abs=1e-5)
    assert len(result.nearest.positions) == len(result.energy)


def test_the_regulariser_keeps_codes_near_the_prior(made):
    free = search(made, "action:left", prior="normal", prior_weight=0.0, steps=100)
    held = search(
        made, "action:left", prior="normal", prior_weight=5.0, steps=200, learning_rate=0.1
    )
    # a standard normal code has a mean square of 1
    assert 0.7 < held.codes.square().mean() < 1.4 < free.codes.square().mean()


def test_the_same_seed_finds_the_same_states(made):
    one, again, other = (search(made, "T-", steps=5, seed=seed) for seed in (3, 3, 4))
    torch.testing.assert_close(one.states, again.states, atol=0, rtol=0)
    assert not torch.equal(one.codes, other.codes)


def test_two_agents_that_differ_in_one_action(made):
    agent = made[0]
    net = ThirdsNet()

    class Contrary(nn.Module):
        """Would not stay where the other one would."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, observations):
            scores, values = self.net(observations)
            return scores * torch.tensor([1.0, -1.0, 1.0]), values

    other = Agent.from_module(Contrary(), agent.observation_space, agent.action_space)
    result = search(made, "disagreement", other=other, steps=80)

    def share_apart(states, counts):
        apart = agent.scores(states).argmax(1) != other.scores(states).argmax(1)
        return float((apart.numpy() * counts).sum() / counts.sum())

    usual = share_apart(made[1].sample(200), np.ones(200))
    assert share_apart(result.states, result.counts) > 0.8 > usual
    small = Agent.from_module(net, spaces.Box(0, 255, (2, 20, 20), np.uint8), spaces.Discrete(3))
    with pytest.raises(ExplainError, match="with the same observations and actions"):
        search(made, "disagreement", other=small)


def test_mistakes_are_one_line(made):
    agent, _, _ = made
    with pytest.raises(ExplainError, match="unknown target 'T'"):
        search(made, "T")
    with pytest.raises(ExplainError, match="has not been fitted"):
        probe(StateGenerator(agent), "T-", progress=False)
    with pytest.raises(ExplainError, match="whole numbers of samples and steps"):
        search(made, "T-", n_samples=0)
    with pytest.raises(ExplainError, match="one energy each"):
        search(made, lambda outputs: outputs.scores)


# --- how new they are --------------------------------------------------------------------


def test_the_nearest_state_is_that_of_a_slow_loop(made):
    agent, generator, train = made
    drawn = generator.sample(5)
    everything = agent.tensor(train.observations(np.arange(len(train)))).float()
    neighbors = find_nearest(generator, drawn, train)
    for i in range(5):
        distances = [float(((drawn[i] - state) / 255).square().mean()) for state in everything]
        assert neighbors.positions[i] == int(np.argmin(distances))
        assert neighbors.distance[i] == pytest.approx(min(distances), abs=1e-6)


def test_the_share_of_pixels_that_differ_by_hand():
    agent = Agent.from_module(
        ThirdsNet(), spaces.Box(0, 255, (2, 4, 5), np.uint8), spaces.Discrete(2)
    )
    first = torch.full((1, 2, 4, 5), 100.0)
    second = first.clone()
    second[0, 0, 0, 0] += 65  # more than a quarter of the range, in one frame
    second[0, 1, 0, 0] -= 65  # the same pixel
    second[0, 1, 2, 2] += 63  # less
    second[0, 0, 3, 4] += 255
    generator = StateGenerator(agent)
    assert measure_difference(generator, first, second).item() == pytest.approx(2 / 20)
    same = torch.cat([first, second, first])
    assert merge(generator, same, 0.05).tolist() == [2, 1, 0]


def test_the_histogram_counts_states_by_their_difference():
    agent = Agent.from_module(
        nn.Linear(10, 2), spaces.Box(0, 1, (10,), np.float32), spaces.Discrete(2)
    )
    seen = StateDataset.from_arrays(np.zeros((3, 10), np.float32), [0, 0, 0], [0, 0, 0])
    drawn = torch.zeros(4, 10)
    drawn[1, :2] = 1  # a fifth of the cells
    drawn[2, :7] = 1
    drawn[3, :] = 0.25  # differs nowhere by more than a quarter
    found = novelty(StateGenerator(agent), drawn, seen)
    assert found == {0.1: 0.5, 0.2: 0.25, 0.3: 0.25, 0.4: 0.25, 0.5: 0.25, 0.6: 0.25, 0.7: 0.0}


# --- goggles -----------------------------------------------------------------------------


def test_goggles(made):
    agent, generator, _ = made

    class Perfect(StateGenerator):
        def reconstruct_batch(self, batch: StateBatch):
            return dict(batch.by_key)

    perfect = Perfect(agent)
    perfect.training = generator.training
    result = goggles({"perfect": perfect, "ours": generator}, 6, n_envs=3, progress=False)
    np.testing.assert_array_equal(result.returns["perfect"], result.returns["agent"])
    assert result.recovered("perfect") == pytest.approx(1.0)
    assert set(result.lengths["ours"]) == {40}
    # one of three actions is worth 1 at each of 40 steps
    assert 7 < result.intervals["random"].mean < 20
    assert list(result.table()["sees"]) == ["agent", "perfect", "ours", "random"]
    again = goggles(generator, 6, n_envs=3, progress=False)
    np.testing.assert_array_equal(again.returns["generator"], result.returns["ours"])
    with pytest.raises(ExplainError, match="n_episodes=0: give a whole number of at least 1"):
        goggles(generator, 0)


# --- straight on the pixels --------------------------------------------------------------


def test_activation_maximisation_reaches_its_target_and_no_state(made):
    agent, generator, train = made
    plain = activation_maximization(agent, "action:right", 4, progress=False)
    assert plain.shape == (4, 2, 24, 24) and plain.min() >= 0 and plain.max() <= 255
    assert (agent.scores(plain).argmax(dim=1) == 2).all()
    ours = search(made, "action:right")
    distance = find_nearest(generator, plain, train).distance
    assert distance.min() > 3 * find_nearest(generator, ours.states, train).distance.max()


def test_regularisers_do_what_they_say(made):
    agent = made[0]
    drawn = {
        name: activation_maximization(
            agent, "action:right", 4, regularizer=name, steps=60, progress=False
        )
        for name in ("plain", "tv", "blur", "jitter")
    }
    rough = {name: float(total_variation(images)) for name, images in drawn.items()}
    assert rough["tv"] < 0.8 * rough["plain"] and rough["blur"] < 0.8 * rough["plain"]
    assert not torch.equal(drawn["jitter"], drawn["plain"])
    with pytest.raises(ExplainError, match="unknown regulariser 'tvv'"):
        activation_maximization(agent, "action:right", regularizer="tvv")
    vectors = Agent.from_module(
        nn.Linear(3, 2), spaces.Box(0, 1, (3,), np.float32), spaces.Discrete(2)
    )
    with pytest.raises(ExplainError, match="draws one image within bounds"):
        activation_maximization(vectors, "uncertainty")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prior_weight": float("nan")}, "prior_weight=nan"),
        ({"n_samples": 2.0}, "whole numbers of samples"),
        ({"prior": "flat"}, "unknown prior 'flat'"),
        ({"target": lambda outputs: outputs.value * torch.nan}, "not finite for 128 of 128 states"),
        ({"target": lambda outputs: 1 / 0}, "the target <lambda> raised ZeroDivisionError"),
        ({"target": lambda outputs: outputs.valeu}, "unknown output 'valeu'; did you mean 'value'"),
        ({"target": lambda: 1}, "the target <lambda> raised TypeError"),
        ({"target": lambda outputs: 1.0}, "the target <lambda> returned float: return a tensor"),
        ({"target": int}, "the target int raised"),
        ({"target": torch.nn.Linear(2, 2)}, "the target Linear raised"),
    ],
)
def test_a_search_that_cannot_be_is_one_line(made, options, said):
    with pytest.raises(ExplainError, match=said):
        search(made, **{"target": "T-", **options})


def test_a_generator_is_not_called_as_another_row(made):
    with pytest.raises(ExplainError, match="cannot be called 'agent'"):
        goggles({"agent": made[1]})
