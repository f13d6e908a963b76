"""What states do not show is said: features that never vary, and the rest of cut episodes."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.files import write_json
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.report.measured import read_metrics
from sb3_explain.report.summary import describe_coverage as say_coverage
from sb3_explain.report.summary import describe_unchanging_squares
from sb3_explain.states.collection import collect
from sb3_explain.states.coverage import count_unchanging_squares, describe_coverage, find_unchanging
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import make_examples

NAMES = ["x", "speed", "angle"]


def vector_agent(names: list[str] | None = None, n: int = 3) -> Agent:
    return Agent.from_module(
        nn.Linear(n, 2), spaces.Box(-9, 9, (n,)), spaces.Discrete(2), feature_names=names
    )


def states_of(vectors: np.ndarray) -> StateDataset:
    n = len(vectors)
    return StateDataset.from_arrays(
        vectors.astype(np.float32), np.arange(n) // 10, np.zeros(n, int), scores=np.zeros((n, 2))
    )


def board_agent(key: str) -> Agent:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(40, 2)

        def forward(self, seen):
            board = seen[key] if key else seen
            return self.linear(board.reshape(len(board), -1).float())

    board = spaces.Box(0, 1, (2, 4, 5), np.int8)
    space = spaces.Dict({key: board}) if key else board
    return Agent.from_module(Flat(), space, spaces.Discrete(2))


def board_states(by_key: dict[str, np.ndarray]) -> StateDataset:
    n = len(next(iter(by_key.values())))
    given: Any = by_key.get("", by_key)
    return StateDataset.from_arrays(
        given, np.arange(n) // 10, np.zeros(n, int), scores=np.zeros((n, 2))
    )


def vary(n: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 3))


def test_features_that_never_vary_are_found_whatever_the_number_of_states():
    agent, everything = vector_agent(NAMES), np.arange(300)
    vectors = vary()
    assert find_unchanging(states_of(vectors), agent, everything) == []
    vectors[:, 0], vectors[:, 2] = 0.0, 1e-3 + 1e-11 * vectors[:, 2]
    assert find_unchanging(states_of(vectors), agent, everything) == ["x", "angle"]
    vectors[299, 0] = 1e-4  # in the last of several chunks
    assert find_unchanging(states_of(vectors), agent, everything) == ["angle"]
    assert find_unchanging(states_of(vectors), agent, everything[:299]) == ["x", "angle"]
    assert find_unchanging(states_of(vectors), agent, everything[:1]) == []


def test_the_summary_and_the_figure_name_them(tmp_path):
    agent, vectors = vector_agent(NAMES), vary(40)
    vectors[:, 1] = 0.5
    held = states_of(vectors)
    evaluation = evaluate(agent, held, [Gradient(agent)], ["insertion"], n_resamples=50)
    assert evaluation.states["never_change"] == ["speed"]
    said = "speed never changes in these states: nothing can be said about it."
    assert evaluation.summary()[-1] == said
    write_json(tmp_path / "metrics.json", evaluation.to_dict())
    assert read_metrics(tmp_path / "metrics.json")["states"]["never_change"] == ["speed"]
    caption = make_examples(held, Gradient(agent))["importance"].caption
    assert caption.endswith(said)


@pytest.mark.parametrize(("key", "of"), [("", ""), ("board", " of board")])
def test_squares_of_boards_that_never_vary_are_counted(key, of, tmp_path):
    """Two planes of 4 x 5 squares: one has to vary on one plane."""
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 2, size=(300, 2, 4, 5)).astype(np.int8)
    planes[:, :, 0], planes[:, 0, 1] = 1, 0
    agent, held = board_agent(key), board_states({key: planes})
    assert count_unchanging_squares(held, agent, np.arange(300)) == {key: (5, 20)}
    assert count_unchanging_squares(held, agent, np.arange(1)) == {}
    assert find_unchanging(held, agent, np.arange(300)) == []
    evaluation = evaluate(agent, held, [Gradient(agent)], ["sparseness"], n_resamples=50)
    said = f"5 of 20 squares{of} never change in these states: nothing can be said about them."
    assert said in evaluation.summary()
    write_json(tmp_path / "metrics.json", evaluation.to_dict())
    measured = read_metrics(tmp_path / "metrics.json")["states"]
    assert say_coverage(measured) == [said]
    (picture,) = make_examples(held, Gradient(agent)).values()
    assert picture.caption.endswith(said)


def test_all_squares_or_one():
    assert describe_unchanging_squares("", 1, 9).startswith("1 of 9 squares never changes in")
    assert describe_unchanging_squares("b", 9, 9).startswith("All 9 squares of b never change in")


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (2, "f0 and f1 never change in these states: nothing can be said about them."),
        (11, "f6, f7 and 3 more features never change in these states"),
    ],
)
def test_many_features_are_counted(n, said):
    (sentence,) = say_coverage({"never_change": [f"f{i}" for i in range(n)]})
    assert said in sentence


@pytest.fixture(scope="module")
def pendulum() -> Agent:
    model = PPO("MlpPolicy", "Pendulum-v1", n_steps=64, seed=1, device="cpu")
    return Agent.from_model(model, recipe=EnvRecipe("Pendulum-v1"))


@pytest.mark.parametrize(
    ("limit", "n", "cut"), [(50, 150, 3), (50, 120, 2), (200, 400, 0), (0, 250, 0)]
)
def test_cut_episodes_are_counted_not_those_that_end_there(pendulum, limit, n, cut):
    """An episode of Pendulum has 200 steps; the last one may end where the store is full."""
    held = collect(pendulum, n_states=n, max_per_episode=limit, render=False, progress=False)
    assert held.provenance["episodes_cut"] == cut
    described = describe_coverage(held, pendulum, np.arange(len(held)))
    (*_, sentence) = say_coverage(described) or [""]
    if not cut:
        assert described == {} and sentence == ""
        return
    assert described["cut_after"] == 50
    which = "all 3" if cut == 3 else "2 of the 3"
    assert sentence.startswith(f"Of {which} episodes only the first 50 states were collected")
    assert "max_per_episode=" in sentence
