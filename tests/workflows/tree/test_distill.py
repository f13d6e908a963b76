"""distill: trees in the environment's units, their returns, their weights, and mistakes."""

import json
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.envs import InvalidActionEnvDiscrete
from torch import nn

from sb3_explain import Agent, ExplainError, StateDataset, distill, read_object_features
from sb3_explain.workflows.tree.distill import FRESH
from sb3_explain.workflows.tree.teacher import Teacher
from tests.toys import dot_agent, dot_states
from tests.workflows.tree.mine import Line, Net, line_agent

SMALL = {"n_rounds": 2, "n_episodes": 4, "n_evaluated": 6, "progress": False}


def play(act, n, seed=FRESH, **kwargs):
    """Returns of episodes of the bare environment."""
    env, returns = Line(**kwargs), []
    for episode in range(n):
        source = np.random.SeedSequence([seed, episode])
        observation, _ = env.reset(seed=int(source.generate_state(1)[0]))
        total, over = 0.0, False
        while not over:
            observation, reward, _, over, _ = env.step(act(observation))
            total += reward
        returns.append(total)
    return returns


def test_questions_are_in_the_units_of_the_environment():
    tree = distill(line_agent(), max_leaves=2, **SMALL)
    assert tree.feature_names == ("place", "noise")
    assert tree.nodes.feature.tolist() == [0, -1, -1]
    assert tree.nodes.threshold[0] == pytest.approx(5, abs=0.2)  # where the normalized place is 0
    assert tree.predict(np.array([[3.0, 0.0], [7.0, 0.0]])).tolist() == [0, 1]
    assert tree.predict([3.0, 0.0]) == 0
    assert tree.fidelity.mean > 0.97
    assert list(tree.importance) == ["place"]
    assert f"if place <= {float(tree.nodes.threshold[0])!r}:\n    up" in str(tree)


@pytest.mark.parametrize("continuous", [False, True])
def test_the_exported_code_earns_what_the_tree_earned(continuous):
    tree = distill(line_agent(continuous=continuous), max_leaves=6, **SMALL)
    scope: dict = {}
    exec(tree.to_python(), scope)
    kwargs = {"continuous": continuous}
    played = play(scope["act"], 6, **kwargs)
    assert np.mean(played) == pytest.approx(tree.returns.mean, abs=1e-9)
    bare = play(lambda seen: tree.predict(seen), 6, **kwargs)
    assert np.mean(bare) == pytest.approx(tree.returns.mean, abs=1e-6)


def test_the_agent_plays_the_same_episodes():
    tree = distill(line_agent(), max_leaves=2, **SMALL)
    agents = play(lambda seen: int(seen[0] > 5), 6)
    assert np.mean(agents) == pytest.approx(tree.agent_returns.mean)
    difference = tree.returns.mean - tree.agent_returns.mean
    assert tree.measures.difference.mean == pytest.approx(difference)


def test_the_same_seed_gives_the_same_tree():
    few = SMALL | {"n_rounds": 1, "n_episodes": 2}
    once, again = (distill(line_agent(), max_leaves=8, seed=3, **few) for _ in range(2))
    assert once.to_c() == again.to_c() and str(once) == str(again)
    other = distill(line_agent(), max_leaves=8, seed=4, **few)
    assert other.returns != once.returns


class Scores(nn.Module):
    """The observation itself as scores."""

    def forward(self, observations):
        return observations


def scorer(space, n, **options):
    box = spaces.Box(-9, 9, (n,), np.float32)
    return Agent.from_module(Scores(), box, space, **options)


def test_weights_of_q_values_by_hand():
    teacher = Teacher(scorer(spaces.Discrete(3), 3, value_based=True))
    shown = torch.tensor([[1.0, 4.0, 2.5], [0.0, 0.0, 0.0]])
    lesson = teacher.label(shown, np.zeros(2))
    assert lesson.weights.tolist() == [3.0, 0.0]  # V(s) = 4, min Q = 1
    assert lesson.actions.tolist() == [[1], [0]]
    assert teacher.weighting == "V(s) - min Q(s, a)"


def test_weights_of_log_probabilities():
    teacher = Teacher(scorer(spaces.MultiDiscrete([2, 3]), 5))
    shown = torch.tensor([[1.0, 2.5, 0.0, -1.0, 2.0]])
    logs = [torch.distributions.Categorical(logits=part).logits for part in shown[0].split([2, 3])]
    by_hand = sum(float(part.max() - part.min()) for part in logs)
    assert teacher.label(shown, np.zeros(1)).weights == pytest.approx([by_hand])


def test_weights_that_are_probabilities():
    teacher = Teacher(scorer(spaces.Discrete(3), 3), weights="probabilities")
    shown = torch.tensor([[0.0, 1.0, -9.0]])
    lesson = teacher.spread(teacher.label(shown, np.array([7])))
    expected = torch.softmax(shown[0].double(), 0)[:2]  # the third is below 2 %
    assert lesson.actions.tolist() == [[0], [1]]
    assert lesson.weights == pytest.approx(expected.numpy())
    assert lesson.values.tolist() == shown.tolist() * 2 and lesson.episode.tolist() == [7, 7]


def test_a_tree_may_ask_for_a_sum_along_which_the_agent_turns():
    agent = scorer(spaces.Discrete(2), 2, feature_names=["up", "down"])
    seen = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32) * [1, 2]
    greedy = (seen[:, 1] > seen[:, 0]).astype(int)
    states = StateDataset.from_arrays(seen.astype(np.float32), np.arange(2000) // 20, greedy)
    tree, plain = (distill(agent, states, max_leaves=2, n_sums=n, **SMALL) for n in (3, 0))
    assert tree.feature_names == ("up", "down", "down - up")
    assert tree.nodes.feature.tolist() == [2, -1, -1] and abs(tree.nodes.threshold[0]) < 0.01
    assert tree.fidelity.mean > 0.99 and plain.fidelity.mean < 0.9
    assert (tree.predict(seen) == greedy).mean() > 0.99
    many = scorer(spaces.MultiDiscrete([2, 3]), 5)
    wide = StateDataset.from_arrays(np.zeros((4, 5), np.float32), [0, 0, 1, 1], np.zeros((4, 2)))
    with pytest.raises(ExplainError, match=r"sums tell one action .* give n_sums=0"):
        distill(many, wide, n_sums=1, **SMALL)


def test_pictures_are_described_by_a_function():
    agent = dot_agent()

    def find_dot(pictures):
        flat = (pictures[:, -1] == 255).mean(axis=1).argmax(axis=1)
        return np.stack([flat, np.zeros(len(flat))], axis=1)

    tree = distill(agent, max_leaves=4, features=find_dot, feature_names=["column", "0"], **SMALL)
    assert tree.feature_names == ("column", "0")
    assert set(tree.importance) <= {"column"}
    assert tree.returns.n == 6


def test_states_without_an_environment_give_no_returns():
    agent = Agent.from_module(Net(), spaces.Box(-9, 9, (2,), np.float32), spaces.Discrete(2))
    shown = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    states = StateDataset.from_arrays(shown, np.arange(400) // 20, (shown[:, 0] > 0) * 1)
    tree = distill(agent, states, max_leaves=2, progress=False)
    assert tree.returns is None and tree.fidelity.n == 80
    assert tree.fidelity.mean > 0.95
    assert "return" not in str(tree)
    assert tree.plot()[1:4] == b"PNG"
    one = StateDataset.from_arrays(shown, np.zeros(400, int), (shown[:, 0] > 0) * 1)
    with pytest.raises(ExplainError, match="states of one episode cannot be divided"):
        distill(agent, one, progress=False)


def test_features_from_a_file_of_objects(tmp_path):
    agent = dot_agent()
    states = dot_states(agent, 200)
    newest = states.observations(np.arange(200))[:, -1].numpy().reshape(200, 24, 24)
    dots = [np.argwhere(picture == 255) for picture in newest]
    boxes = [[float(d[:, 1].min()), float(d[:, 0].min()), 3.0, 3.0] for d in dots]
    objects = [[{"category": "Dot", "xywh": box}] for box in boxes]
    (tmp_path / "objects.json").write_text(json.dumps({"size": [24, 24], "objects": objects}))
    values, names = read_object_features(tmp_path / "objects.json", states)
    assert names == ["Dot x", "Dot y"]
    assert values[:5].tolist() == [[x + 1.5, y + 1.5] for x, y, *_ in boxes[:5]]
    tree = distill(agent, states, features=values, feature_names=names, progress=False)
    assert tree.returns is None and tree.feature_names == ("Dot x", "Dot y")
    assert tree.fidelity.mean > tree.measures.constant_fidelity
    with pytest.raises(ExplainError, match="has 199 rows for 200 states"):
        distill(agent, states, features=values[1:])
    with pytest.raises(ExplainError, match="has 200 rows for 0 states"):
        distill(agent, features=values)
    with pytest.raises(ExplainError, match="has no objects of these categories"):
        read_object_features(tmp_path / "objects.json", states, ["Ball"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_leaves": 1}, "max_leaves=1: give a whole number of at least 2"),
        ({"max_leaves": 10**6}, "at most 4096"),
        ({"n_rounds": 0}, "n_rounds=0"),
        ({"n_evaluated": 1}, "n_evaluated=1"),
        ({"weights": "gaps"}, "unknown weights 'gaps'; did you mean 'gap'"),
        ({"features": lambda shown: 1 / 0}, "features= fails on observations .division by zero."),
        ({"features": lambda shown: shown[:1]}, r"let it return \(\d+, M\)"),
        ({"features": lambda shown: shown * np.nan}, "NaN or infinite"),
        ({"feature_names": ["place"]}, "1 feature_names for 2 features"),
    ],
)
def test_mistakes_are_one_line(options, said):
    with pytest.raises(ExplainError, match=said):
        distill(line_agent(), **(SMALL | options))


def test_agents_that_no_tree_can_stand_for():
    with pytest.raises(ExplainError, match=r"observes pictures, .* give features="):
        distill(dot_agent(), **SMALL)
    recurrent = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, device="cpu",
                             policy_kwargs={"lstm_hidden_size": 4})  # fmt: skip
    with pytest.raises(ExplainError, match="a tree remembers nothing"):
        distill(recurrent, **SMALL)
    env = InvalidActionEnvDiscrete(dim=4, n_invalid_actions=1)
    masked = MaskablePPO("MlpPolicy", env, n_steps=8, device="cpu")
    with pytest.raises(ExplainError, match="told which actions are allowed"):
        distill(masked, **SMALL)
    several = scorer(spaces.MultiBinary(3), 3)
    with pytest.raises(ExplainError, match="give weights='gap'"):
        distill(several, weights="probabilities", **SMALL)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.tree", None)
    with pytest.raises(ExplainError, match=r"pip install 'sb3_explain\[tree\]'"):
        distill(line_agent(), **SMALL)


def test_a_tree_says_what_it_is_asked_wrongly(tmp_path):
    tree = distill(line_agent(), max_leaves=2, **(SMALL | {"n_rounds": 1}))
    for wrong in (np.zeros(3), np.zeros((1, 2, 2))):
        with pytest.raises(ExplainError, match=r"give \(B, 2\), a column for each of: place"):
            tree.predict(wrong)
    with pytest.raises(ExplainError, match="no array of numbers"):
        tree.predict("left")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExplainError, match="file"):
        tree.save(tmp_path / "file")
    assert gym.spaces.Discrete(2).contains(tree.predict(np.zeros(2)))
