"""HIGHLIGHTS: which states are chosen, and the video of them."""

import json
import shlex
import threading

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from sb3_explain import cli, load_agent
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.report.video import read_frames
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.highlights import highlights, name_top_features, select
from sb3_explain.workflows.importances import (
    compute_importance,
    compute_score_gap,
    compute_value_change,
)
from sb3_explain.workflows.represented_states import represent_states
from tests.states.live_envs import Field, make_model
from tests.toys import dot_agent


def line(n=100, length=50, **columns):
    """States of one feature that grows with time."""
    frames = np.arange(n, dtype=np.float32)[:, None]
    return StateDataset.from_arrays(frames, np.arange(n) // length, np.zeros(n, int), **columns)


def taken(importance, k, **options):
    """Of 100 states in two episodes, each of which is like its neighbours."""
    n = len(importance)
    return select(importance, np.arange(n) // 50, half_circle(np.arange(n) / n), k, **options)


def half_circle(share):
    """(n, 2) points whose angle between each other grows with the difference of their shares."""
    return np.stack([np.cos(np.pi * share), np.sin(np.pi * share)], axis=1)


def test_the_most_important_states_come_first_with_those_around_them():
    importance = np.zeros(100)
    importance[[20, 70, 95]] = 3, 5, 4
    found = taken(importance, 3, before=5, after=2, diversity=0.0)
    assert [(h.position, h.start, h.stop, h.importance) for h in found] == [
        (70, 65, 73, 5.0), (95, 90, 98, 4.0), (20, 15, 23, 3.0),
    ]  # fmt: skip


def test_context_stays_within_the_episode():
    importance = np.zeros(100)
    importance[[51, 48]] = 2, 1
    found = taken(importance, 2, before=30, after=10, diversity=0.0)
    assert [(h.start, h.stop) for h in found] == [(50, 62), (18, 50)]


def test_contexts_do_not_overlap():
    rng = np.random.default_rng(0)
    found = taken(rng.random(100), 10, before=6, after=3, diversity=0.0)
    shown = [at for h in found for at in range(h.start, h.stop)]
    assert len(shown) == len(set(shown))


def test_what_is_like_a_state_already_chosen_is_left_out():
    # the same episode twice
    seen, episode = half_circle(np.tile(np.arange(50) / 50, 2)), np.arange(100) // 50
    importance = np.zeros(100)
    importance[[30, 80, 5]] = 5, 4, 3
    alike = select(importance, episode, seen, 2, before=2, after=2, diversity=0.0)
    assert [h.position for h in alike] == [30, 80]
    diverse = select(importance, episode, seen, 2, before=2, after=2, diversity=0.25)
    assert [h.position for h in diverse] == [30, 5]


def test_diversity_is_a_share_of_pairs():
    seen, episode = half_circle(np.arange(400) / 400), np.zeros(400, int)
    # |i - j| of uniform pairs: P(distance <= d) = 1 - (1 - d)^2 of the length
    found = select(np.linspace(0, 1, 400), episode, seen, 2, before=0, after=0, diversity=0.5)
    gap = found[0].position - found[1].position
    assert gap == pytest.approx(400 * (1 - np.sqrt(0.5)), rel=0.1)


def test_there_may_be_fewer():
    assert len(taken(np.ones(100), 50, before=30, after=10)) < 5


def test_states_are_compared_as_the_agent_represents_them():
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0)
    agent = Agent.from_model(model)
    frames = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    states = StateDataset.from_arrays(frames, np.zeros(30, int), np.zeros(30, int))
    latent, _ = model.policy.mlp_extractor(torch.from_numpy(frames))
    latent = latent.detach().double().numpy()
    desired = (latent - latent.mean(axis=0)) / latent.std(axis=0, ddof=1)
    assert np.allclose(represent_states(agent, states), desired, atol=1e-6)


def test_the_scores_stand_in_for_layers_that_are_not_known():
    agent = dot_agent()
    states = line(4, 2, scores=np.array([[0.0, 1, 2], [0, 2, 2], [0, 3, 2], [0, 4, 2]]))
    rows = represent_states(agent, states)
    assert np.allclose(rows[:, 1], np.array([-1.5, -0.5, 0.5, 1.5]) / np.std([1, 2, 3, 4], ddof=1))
    assert (rows[:, [0, 2]] == 0).all()


def test_importance_of_scores_and_of_values():
    agent = dot_agent()
    scores = np.array([[1.0, 5.0, 2.0], [0.0, 0.5, 0.2], [3.0, 3.0, 3.0], [1.0, 0.0, -4.0]])
    values = np.array([1.0, 3.0, -1.0, 0.0])
    states = line(4, 2, scores=scores, values=values)
    assert compute_score_gap(agent, states).tolist() == [4.0, 0.5, 0.0, 5.0]
    # the last state of an episode has no next one
    assert compute_value_change(agent, states).tolist() == [2.0, 0.0, 1.0, 0.0]
    assert compute_importance(agent, states).tolist() == [4.0, 0.5, 0.0, 5.0]


def test_mistakes_are_said(tmp_path):
    agent = dot_agent()
    for arguments, says in [
        ({"k": 0}, "k=0"), ({"diversity": 1.0}, "diversity=1.0"), ({"before": -1}, "before=-1"),
    ]:  # fmt: skip
        with pytest.raises(ExplainError, match=says):
            taken(np.ones(60), **{"k": 5, **arguments})
    with pytest.raises(ExplainError, match="unknown importance 'value_chang'"):
        highlights(agent, tmp_path, importance="value_chang")
    for arguments, says in [
        ({"explainer": "sarfaa"}, "did you mean 'sarfa'"), ({"k": 0}, "k=0"),
        ({"explainer": "visionmask"}, "holds no visionmask"),
        ({"explainer": "grad_cam"}, "grad_cam does not support"),
        ({"target": "LEEFT"}, "unknown target 'LEEFT'"),
        ({"target": "value", "explainer": "sarfa"}, "sarfa explains actions, not value"),
    ]:  # fmt: skip
        with pytest.raises(ExplainError, match=says):
            highlights(agent, tmp_path, **arguments)
    assert not (tmp_path / "episodes").exists()
    nan = line(4, 2, scores=np.ones((4, 3)), values=np.full(4, np.nan))
    with pytest.raises(ExplainError, match="no values"):
        compute_importance(agent, nan, "value_change")


def test_the_video_shows_all_contexts_and_stands_still_at_the_important_states(tmp_path):
    agent = dot_agent()
    found = highlights(
        agent, tmp_path, k=3, n_states=400, before=6, after=3, explainer="gradient",
        progress=False,
    )  # fmt: skip
    frames = list(read_frames(tmp_path / "highlights.mp4"))
    assert len(frames) == sum(h.stop - h.start + 7 for h in found)
    stored = json.loads((tmp_path / "highlights.json").read_text())
    assert [row["position"] for row in stored] == [h.position for h in found]
    states = StateDataset.open(tmp_path / "episodes")
    for row, one in zip(stored, found, strict=True):
        own = states.episode == row["episode"]
        cut = row["episode"] == states.episode[-1]
        earned = None if cut else pytest.approx(states.column("rewards")[own].sum())
        assert row["episode_return"] == one.episode_return == earned
        assert ("which is cut" in str(one)) == cut
        start = row["position"] - row["step"]
        assert states.episode[start] == row["episode"]
        assert start == 0 or states.episode[start - 1] != row["episode"]
        assert agent.action_names[states.greedy[row["position"]]] == row["greedy"]
    assert (tmp_path / "highlights.png").read_bytes()[:4] == b"\x89PNG"


def test_from_the_command_line_for_an_agent_of_vectors(tmp_path, capsys):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0)
    model.save(tmp_path / "ppo.zip")
    done = cli.main([
        "highlights", "--algo", "ppo", "--env", "CartPole-v1", "-f", str(tmp_path / "ppo.zip"),
        "-n", "700", "-k", "2", "--before", "4", "--after", "2", "-o", str(tmp_path / "out"),
        "--no-progress", "--importance", "before_failure",
    ])  # fmt: skip
    assert done == 0
    # what is printed next is a question that has an answer
    lines = capsys.readouterr().out.splitlines()
    asked = shlex.split(next(line for line in lines if line.startswith("next ")))
    assert asked[1:3] == ["sb3-explain", "why"]
    assert cli.main(asked[2:]) == 0
    shown = capsys.readouterr().out
    [first, *_] = json.loads((tmp_path / "out" / "highlights.json").read_text())
    assert first["position"] == first["stop"] - 1  # the end, where nothing can be done any more
    position = int(asked[-1])
    assert first["start"] <= position < first["position"]
    step = first["step"] - first["position"] + position
    assert any(
        f"state {position}: step {step} of episode {first['episode']}, " in one for one in lines
    )
    assert f"episode {first['episode']}, step {step} (state {position})" in shown
    assert list((tmp_path / "out" / "why").glob(f"episodes_{position}_*.png"))
    assert any(line.startswith(f"1  state {first['position']}: ") for line in lines)
    # more states only need a larger -n, whatever played the first ones
    agent = load_agent("ppo", "CartPole-v1", folder=tmp_path / "ppo.zip")
    highlights(agent, tmp_path / "out", k=2, n_states=1200, progress=False)
    assert len(StateDataset.open(tmp_path / "out" / "episodes")) >= 1200
    assert any(line.startswith("open ") and line.endswith("highlights.mp4") for line in lines)
    assert len(list(read_frames(tmp_path / "out" / "highlights.mp4"))) >= 2 * 8


def test_highlights_of_vectors_name_the_features_that_mattered_most():
    net = nn.Linear(4, 2, bias=False)
    net.weight.data = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 5.0, -3.0, 0.0]])
    agent = Agent.from_module(net, spaces.Box(-9, 9, (4,), np.float32), spaces.Discrete(2))
    frames = np.ones((3, 4), np.float32)
    states = StateDataset.from_arrays(
        frames, np.zeros(3), np.zeros(3, int), actions=np.array([0, 1, 1]),
        scores=np.zeros((3, 2), np.float32),
    )  # fmt: skip
    words = name_top_features(states, EXPLAINERS["gradient"](agent), np.array([0, 2]))
    assert words[0].startswith("feature 0 100%, ")
    assert words[1].startswith("feature 1 62%, feature 2 38%, ")


def test_box_actions_are_judged_by_their_values():
    from stable_baselines3 import SAC

    model = SAC("MlpPolicy", "Pendulum-v1", seed=0)
    agent = Agent.from_model(model)
    states = line(4, 2, scores=np.zeros((4, 1)), values=np.array([0.0, 2.0, 1.0, 4.0]))
    assert compute_importance(agent, states).tolist() == [2.0, 0.0, 3.0, 0.0]
    with pytest.raises(ExplainError, match="use value_change"):
        compute_importance(agent, states, "gap")


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("kind", ["vector", "picture"])
def test_a_model_on_any_number_of_unregistered_environments(copies, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("sb3_explain.workflows.whole_episodes.STATES_PER_ENV", 30)
    env = DummyVecEnv([lambda: Field(kind, render_mode="rgb_array")] * copies)
    agent = Agent.from_model(make_model(PPO, env))
    options = {"k": 2, "before": 2, "after": 1, "explainer": "gradient", "progress": False}
    highlights(agent, tmp_path, n_states=40, **options)  # of two, were they made by an id
    assert StateDataset.open(tmp_path / "episodes").provenance["n_envs"] == copies
    highlights(agent, tmp_path, n_states=70, **options)  # goes on with what is there


def test_one_environment_that_cannot_be_copied_may_play_more_than_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr("sb3_explain.workflows.whole_episodes.STATES_PER_ENV", 30)

    class Held(Field):
        """It has a lock, which cannot be copied."""

        def __init__(self, **options):
            super().__init__(**options)
            self.lock = threading.Lock()

    agent = Agent.from_model(make_model(PPO, Held()))
    highlights(
        agent, tmp_path, env=Held(render_mode="rgb_array"), n_states=50, k=1, explainer="gradient",
        progress=False,
    )  # fmt: skip
    assert StateDataset.open(tmp_path / "episodes").provenance["n_envs"] == 1


def test_an_episode_has_one_end():
    n = 150
    importance = np.zeros(n)
    importance[:50], importance[50:100] = np.linspace(0.1, 1, 50), np.linspace(0.05, 0.5, 50)
    episode, seen = np.arange(n) // 50, half_circle(np.arange(n) / n)
    options = {"before": 2, "after": 2, "diversity": 0.0}
    assert [one.position for one in select(importance, episode, seen, 5, once=True, **options)] == [
        49, 99,
    ]  # fmt: skip
    assert len(select(importance, episode, seen, 5, **options)) == 5


@pytest.mark.parametrize(("importance", "diversity"), [("before_failure", 0.0), (None, 0.1)])
def test_failures_that_are_alike_are_all_shown(monkeypatch, tmp_path, importance, diversity):
    asked = {}

    def select_and_tell(*arguments, **options):
        asked.update(options)
        return select(*arguments, **options)

    monkeypatch.setattr("sb3_explain.workflows.highlights.select", select_and_tell)
    highlights(
        dot_agent(), tmp_path, k=1, n_states=130, before=2, after=1, importance=importance,
        progress=False,
    )  # fmt: skip
    assert asked["diversity"] == diversity and asked["once"] == (importance == "before_failure")
