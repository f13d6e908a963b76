"""Evaluation: rows, values, costs and the layout of metrics.json, on a small image agent."""

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.metrics.insertion import insertion
from sb3_explain.evaluation.notes import note_if_narrow
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.controls import Constant
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.explainers.gradients.input_x_gradient import InputXGradient
from sb3_explain.states.baselines import Background, Black
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from tests.explainers.kinds import agent_of, states_of

EPISODES, LENGTH = 12, 5
N = EPISODES * LENGTH


class Bright(Explainer):
    """Masks that keep what is bright; some observations are taken twice as passes."""

    name = "bright"
    gives_masks = True

    def explain(self, batch):
        batch.scores(batch.by_key)
        return {"": batch.observations / 255}


class Learned(FittedExplainer):
    name = "learned"

    def __init__(self, agent, fitted=True):
        super().__init__(agent)
        self._fitted = fitted

    @property
    def fitted(self):
        return self._fitted

    @property
    def fit_seconds(self):
        return 12.5

    def fit(self, train, validation, **options):
        raise NotImplementedError

    @classmethod
    def load(cls, folder, agent):
        raise NotImplementedError

    def save(self, folder):
        raise NotImplementedError

    def explain(self, batch):
        return {"": batch.observations.square()}


@pytest.fixture(scope="module")
def agent():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(2 * 36, 16), nn.Tanh(), nn.Linear(16, 3))
    with torch.no_grad():
        net[1].weight /= 32
        net[3].weight *= 4
    return Agent.from_module(net, spaces.Box(0, 255, (2, 6, 6), np.uint8), spaces.Discrete(3))


@pytest.fixture(scope="module")
def states(agent):
    frames = np.random.default_rng(0).integers(0, 256, (N, 1, 6, 6), dtype=np.uint8)
    episode = np.repeat(np.arange(EPISODES), LENGTH)
    return StateDataset.from_arrays(frames, episode, np.zeros(N, dtype=np.int64), n_stack=2)


def test_controls_are_always_there(agent, states):
    evaluation = evaluate(agent, states, [Bright(agent)])
    assert list(evaluation.rows) == ["bright", "empty", "constant", "random", "gradient"]
    # which need boxes, an agent of SGQN, and a quantity to explain
    everything = set(METRICS) - {"relevance_mass", "saliency_iou", "value_preservation"}
    assert set(evaluation.values["bright"]) == everything
    ordered = {"insertion", "deletion", "accuracy@0.1", "pixel_flipping", "forced_action"}
    ordered |= {"specificity", "policy_specificity"}
    ordered |= {"policy_preservation", "policy_preservation@0.1"}
    assert set(evaluation.values["empty"]) == everything - ordered
    assert set(evaluation.values["gradient"]) == everything - {
        "accuracy",
        "accuracy_clear",
        "mask_area",
    }
    assert all(v.shape == (N,) for row in evaluation.rows.values() for v in row.values.values())


def test_the_constant_mask_has_the_mean_area_of_the_masks(agent, states):
    evaluation = evaluate(agent, states, [Bright(agent)], ["mask_area"])
    area = evaluation.rows["bright"].intervals["mask_area"].mean
    assert evaluation.rows["constant"].intervals["mask_area"].mean == pytest.approx(area)
    without = evaluate(agent, states, {}, ["mask_area"])
    assert without.rows["constant"].intervals["mask_area"].mean == pytest.approx(0.1)


def test_a_given_row_is_not_replaced(agent, states):
    evaluation = evaluate(agent, states, {"random": Bright(agent)}, ["sparseness"])
    assert list(evaluation.rows) == ["random", "empty", "constant", "gradient"]
    expected = METRICS["sparseness"](states.observations(np.arange(N)).float() / 255)
    np.testing.assert_allclose(evaluation.values["random"]["sparseness"], expected)


def test_values_and_curves_are_those_of_the_metric(agent, states):
    evaluation = evaluate(
        agent, states, [Bright(agent)], {"insertion": {"steps": 8}}, baseline=Black(), batch_size=7
    )
    observations = states.observations(np.arange(N)).float()
    batch = StateBatch(agent, observations)
    curves = insertion(batch, torch.zeros_like(observations), order(observations / 255), steps=8)
    areas = (curves.sum(dim=1) - (curves[:, 0] + curves[:, -1]) / 2) / 8
    np.testing.assert_allclose(evaluation.values["bright"]["insertion"], areas, atol=1e-6)
    np.testing.assert_allclose(
        evaluation.curves["bright"]["insertion"], curves.mean(dim=0), atol=1e-6
    )
    assert evaluation.rows["bright"].intervals["insertion"].mean == pytest.approx(
        areas.mean().item(), abs=1e-6
    )


def test_batches_do_not_matter(agent, states):
    others = {"local_lipschitz", "value_preservation", "relevance_mass"}
    names = sorted(set(METRICS) - others)
    first, second = (
        evaluate(agent, states, [Bright(agent)], names, batch_size=size) for size in (7, 60)
    )
    for name, row in first.rows.items():
        for metric, values in row.values.items():
            np.testing.assert_allclose(
                values, second.rows[name].values[metric], atol=1e-6, err_msg=f"{name} {metric}"
            )


def test_same_seed_same_numbers(agent, states):
    first, second = (
        evaluate(agent, states, [Bright(agent)], n_evaluated=20, seed=3).to_dict() for _ in range(2)
    )
    for numbers in (first, second):
        for row in numbers["explainers"].values():
            del row["cost"]
    assert first == second


def test_a_sample_of_states(agent, states):
    evaluation = evaluate(agent, states, [Bright(agent)], ["sparseness"], n_evaluated=20)
    assert evaluation.states["n"] == 20
    assert evaluation.rows["bright"].intervals["sparseness"].n == 20
    more = evaluate(agent, states, [Bright(agent)], ["sparseness"], n_evaluated=1000)
    assert more.states["n"] == N


def test_costs(agent, states):
    evaluation = evaluate(
        agent, states, [Bright(agent), Learned(agent)], {"deletion": {"steps": 4}}
    )
    bright, learned = evaluation.rows["bright"], evaluation.rows["learned"]
    assert bright.explaining.forwards == N
    assert bright.measuring["deletion"].forwards == 5 * N
    assert learned.explaining.forwards == 0
    assert (bright.fit_seconds, learned.fit_seconds) == (0.0, 12.5)
    assert bright.explaining.seconds > 0


def test_table(agent, states):
    table = evaluate(agent, states, [Bright(agent)], ["accuracy", "sparseness"]).table()
    assert list(table.columns[:6]) == ["explainer", "metric", "mean", "low", "high", "n"]
    assert {"states", "episodes", "forwards", "seconds", "fit_seconds"} <= set(table.columns)
    line = table.set_index(["explainer", "metric"]).loc[("bright", "accuracy")]
    assert 0 <= line["low"] <= line["mean"] <= line["high"] <= 1
    assert line["n"] == line["states"] == N
    assert line["episodes"] == EPISODES


def test_metrics_json(agent, states):
    written = json.dumps(evaluate(agent, states, [Bright(agent)]).to_dict(), allow_nan=False)
    read = json.loads(written)
    assert set(read) == {"agent", "states", "explainers"}
    assert set(read["explainers"]["bright"]["accuracy"]) == {"mean", "low", "high", "n"}
    assert {"forwards", "seconds", "fit_seconds"} <= set(read["explainers"]["empty"]["cost"])


def test_undefined_numbers_are_null(agent, states):
    one_cluster = states.subset(np.arange(LENGTH))
    accuracy = evaluate(agent, one_cluster, [Bright(agent)], ["accuracy"]).to_dict()
    observed = accuracy["explainers"]["bright"]["accuracy"]
    assert observed["low"] is None
    assert observed["high"] is None
    assert observed["n"] == LENGTH


def test_a_baseline_by_name_is_fitted_on_the_states(agent, states):
    by_name = evaluate(agent, states, [Bright(agent)], ["accuracy"])
    fitted = evaluate(
        agent, states, [Bright(agent)], ["accuracy"], baseline=Background(states.frames())
    )
    assert by_name.states["baseline"] == "background"
    np.testing.assert_array_equal(
        by_name.values["bright"]["accuracy"], fitted.values["bright"]["accuracy"]
    )


def test_vector_observations():
    space = spaces.Box(-1, 1, (4,), np.float32)
    agent = Agent.from_module(nn.Linear(4, 2), space, spaces.Discrete(2))
    vectors = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    states = StateDataset.from_arrays(vectors, np.arange(40) // 4, np.zeros(40, dtype=np.int64))
    evaluation = evaluate(agent, states, [])
    assert np.isfinite(evaluation.values["gradient"]["local_lipschitz"]).all()


def test_nothing_random_or_frozen_changes(agent, states):
    fingerprint, random_state = agent.fingerprint(), torch.get_rng_state()
    evaluate(agent, states, [Bright(agent)])
    assert agent.fingerprint() == fingerprint
    assert torch.equal(torch.get_rng_state(), random_state)


def test_mistakes_are_told(agent, states):
    with pytest.raises(ExplainError, match="did you mean 'accuracy'"):
        evaluate(agent, states, [], ["accurracy"])
    with pytest.raises(ExplainError, match="baseline"):
        evaluate(agent, states, [], baseline="blakc")
    with pytest.raises(ExplainError, match="no states"):
        evaluate(agent, states.subset(np.arange(0)), [])
    with pytest.raises(ExplainError, match="same name"):
        evaluate(agent, states, [Bright(agent), Bright(agent)])
    with pytest.raises(ExplainError, match="not been fitted"):
        evaluate(agent, states, [Learned(agent, fitted=False)])
    with pytest.raises(ExplainError, match="confidence"):
        evaluate(agent, states, [], confidence=95)


@pytest.mark.parametrize(
    "space",
    [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)],
    ids=["box", "multidiscrete", "multibinary"],
)
def test_every_kind_of_action(space):
    n_scores = {"Box": 2, "MultiDiscrete": 5, "MultiBinary": 2}[type(space).__name__]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Linear(4, n_scores)
    agent = Agent.from_module(net, spaces.Box(-1, 1, (4,)), space)
    vectors = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    states = StateDataset.from_arrays(vectors, np.arange(24) // 4, np.zeros(24))
    everything = evaluate(agent, states, {"all": Constant(agent, 1.0)}, baseline="mean")
    assert (everything.values["all"]["accuracy"] == 1).all()
    some = evaluate(agent, states, [], ["insertion", "accuracy"], baseline="mean")
    curve = some.curves["gradient"]["insertion"]
    assert curve.min() >= 0 and curve.max() <= 1 and curve[-1] > curve[0]
    assert some.rows["empty"].intervals["accuracy"].mean < 1


def test_what_moves_a_box_action_down_matters_as_what_moves_it_up():
    module = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[-8.0, 0.01, 0.02, 0.03]]))
    actions = spaces.Box(-9, 9, (1,))
    agent = Agent.from_module(module, spaces.Box(-9, 9, (4,)), actions)
    vectors = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32) + 5
    states = StateDataset.from_arrays(vectors, np.arange(24) // 4, np.zeros(24))
    signed = InputXGradient(agent)
    metrics = {"insertion": {"steps": 4}, "deletion": {"steps": 4}, "accuracy@0.1": {"share": 0.25}}
    evaluation = evaluate(agent, states, [signed], metrics, baseline="black")
    means = {name: values.mean() for name, values in evaluation.values[signed.name].items()}
    # feature 0 decides: whoever removes it first leaves nothing, whoever shows it first shows all
    assert means["deletion"] < 0.2 and means["insertion"] > 0.8
    assert means["accuracy@0.1"] == 1


def test_dict_observations_are_measured_as_one_vector_of_cells():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.image, self.vector = nn.Linear(8, 3), nn.Linear(2, 3)

        def forward(self, observations):
            image = observations["image"].flatten(1) / 255
            return 3 * self.image(image) + self.vector(observations["vector"])

    space = spaces.Dict(
        {"image": spaces.Box(0, 255, (2, 2, 2), np.uint8), "vector": spaces.Box(-1, 1, (2,))}
    )
    agent = Agent.from_module(Net(), space, spaces.Discrete(3))
    rng = np.random.default_rng(0)
    frames = {
        "image": torch.from_numpy(rng.integers(0, 256, (24, 2, 2, 2), dtype=np.uint8)),
        "vector": torch.from_numpy(rng.normal(size=(24, 2)).astype(np.float32)),
    }
    columns = {"greedy": np.zeros(24, int), "episode": np.arange(24) // 4}
    states = StateDataset(frames, columns, np.ones(24))
    evaluation = evaluate(agent, states, {"all": Constant(agent, 1.0)}, baseline="mean")
    assert (evaluation.values["all"]["accuracy"] == 1).all()
    # the gradient's deletion against a loop over the ten cells of one state
    observations = states.observations([5])
    attributions = StateBatch.flatten_keys(Gradient(agent).attribute(observations))
    batch = StateBatch(agent, observations)
    baseline = torch.cat([frames[n].float().mean(0).flatten() for n in ("image", "vector")])
    baseline[:8] = frames["image"].float().mean(dim=(0, 2, 3)).repeat_interleave(4)
    pixels, expected = batch.observations[0].clone(), []
    for pixel in [None, *order(attributions)[0].tolist()]:
        if pixel is not None:
            pixels[pixel] = baseline[pixel]
        seen = {"image": pixels[:8].reshape(1, 2, 2, 2), "vector": pixels[8:][None]}
        expected.append(agent.probabilities(seen)[0, batch.target[0]].item())
    some = evaluate(agent, states, [], {"deletion": {"steps": 10}}, baseline="mean")
    area = np.trapezoid(expected, dx=0.1)
    assert some.values["gradient"]["deletion"][5] == pytest.approx(area, abs=1e-6)


def test_a_control_that_does_not_serve_the_agent_is_left_out():
    kind = "category"  # which has no gradient
    done = evaluate(agent_of(kind), states_of(kind), [], ["sparseness"], n_evaluated=3)
    assert list(done.rows) == ["empty", "constant", "random"]


def test_a_category_is_one_cell():
    class Rooms(nn.Module):
        def forward(self, observations):
            return nn.functional.one_hot(observations.long(), 3).float() * 2

    agent = Agent.from_module(Rooms(), spaces.Discrete(3), spaces.Discrete(3))
    rooms = np.arange(24) % 3
    states = StateDataset.from_arrays(rooms, np.arange(24) // 4, rooms)
    evaluation = evaluate(agent, states, {"all": Constant(agent, 1.0)}, ["accuracy", "deletion"])
    assert (evaluation.values["all"]["accuracy"] == 1).all()
    # the baseline is the most frequent room, the first of equals
    assert evaluation.values["empty"]["accuracy"].tolist() == (rooms == 0).tolist()


def test_narrow_intervals_are_told_before_anything_is_measured(agent, states, caplog):
    said_before = []

    class Watching(Bright):
        def explain(self, batch):
            said_before.append(caplog.text)
            return super().explain(batch)

    evaluate(agent, states, [Watching(agent)], ["sparseness"], n_resamples=10)
    said = "intervals are too narrow with 60 states where 300 are needed: collect"
    assert said in said_before[0]


@pytest.mark.parametrize(
    ("counts", "fault", "remedy"),
    [
        ((300, 300, 5), "", ""),
        (
            (50, 400, 9),
            "intervals are too narrow with 50 states where 300 are needed:",
            "measure more of the 400",
        ),
        (
            (400, 400, 4),
            "intervals are too narrow with 4 episode(s) where 5 are",
            "collect more states",
        ),
        (
            (50, 50, 1, 1),
            "there are no intervals with 50 states where 300 are needed and 1 ep",
            "collect more states",
        ),
    ],
)
def test_what_to_do_about_narrow_intervals(counts, fault, remedy):
    said = note_if_narrow(*counts)
    assert said.startswith(fault) and remedy in said and bool(said) == bool(fault)


def test_log_note_and_table_agree_on_one_episode(agent, caplog):
    frames = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(6, axis=2).repeat(6, axis=3)
    states = StateDataset.from_arrays(
        frames.repeat(2, axis=1), np.zeros(40, int), np.zeros(40, int)
    )
    done = evaluate(agent, states, [], ["sparseness"], n_resamples=10)
    note = done.states["note"]
    assert note in caplog.messages and note.startswith("there are no intervals with 40 states")
    assert done.table()["low"].isna().all()
    assert f"{note[0].upper()}{note[1:]}." in done.summary()


def test_paired_differences_are_resampled_by_episode(agent, states):
    done = evaluate(agent, states, ["gradient", "random"], ["insertion"], n_evaluated=30, seed=2)
    found = done.difference("gradient", "random", "insertion")
    taken = states.sample(30, 2)
    values = done.values["gradient"]["insertion"] - done.values["random"]["insertion"]
    rng, by_episode = np.random.default_rng(0), states.episode[taken]
    episodes = np.unique(by_episode)
    assert len(episodes) >= 10  # else blocks are resampled
    draws = [
        np.concatenate([values[by_episode == one] for one in rng.choice(episodes, len(episodes))])
        for _ in range(2000)
    ]
    low, high = np.quantile([one.mean() for one in draws], [0.025, 0.975])
    assert found.mean == pytest.approx(values.mean()) and found.n == 30
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=0.1 * (high - low))
    with pytest.raises(ExplainError, match="unknown explainer 'gradeint'; did you mean 'gradient'"):
        done.difference("gradeint", "random", "insertion")
    with pytest.raises(ExplainError, match="difference: missing a required argument: 'metric'"):
        done.difference("gradient", "random")
    with pytest.raises(ExplainError, match="unknown metric of gradient 'deletion'"):
        done.difference("gradient", "random", "deletion")


def test_print_shows_the_table_and_the_summary(agent, states):
    done = evaluate(agent, states, ["gradient"], ["insertion"], n_evaluated=20)
    shown, interval = str(done), done.intervals["gradient"]["insertion"]
    assert f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]" in shown
    said = " ".join(shown.split())
    assert all(" ".join(sentence.split()) in said for sentence in done.summary())
    assert max(map(len, shown.splitlines())) <= 100
