"""How important a state is, against slow loops."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.value_units import ValueUnits
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.importances import (
    NAMES,
    choose_importance,
    compute_importance,
)
from tests.toys import dot_agent


@pytest.fixture(scope="module")
def states():
    """40 states of episodes of 3, 17, 8 and 12 states."""
    rng = np.random.default_rng(0)
    episode = np.repeat([0, 1, 2, 5], [3, 17, 8, 12])
    return StateDataset.from_arrays(
        rng.normal(size=(40, 1)).astype(np.float32), episode, np.zeros(40, int),
        scores=rng.normal(size=(40, 2)).astype(np.float32),
        values=rng.normal(size=40).astype(np.float32),
        rewards=rng.normal(size=40).astype(np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def q_agent():
    return Agent.from_model(DQN("MlpPolicy", "CartPole-v1", buffer_size=10, seed=0))


def split_episodes(states):
    """The positions of each episode's states, in order."""
    episodes = []
    for position, number in enumerate(states.episode):
        if position == 0 or number != states.episode[position - 1]:
            episodes.append([])
        episodes[-1].append(position)
    return episodes


def test_advantage_of_the_greedy_action(states, q_agent):
    scores = states.column("scores").astype(np.float64)
    desired = [max(row) - sum(row) / len(row) for row in scores.tolist()]
    assert compute_importance(q_agent, states, "advantage") == pytest.approx(desired)


def test_a_low_value_is_important(states):
    desired = [-value for value in states.column("values").astype(float)]
    assert compute_importance(dot_agent(), states, "value_low") == pytest.approx(desired)


@pytest.mark.parametrize(
    ("units", "gamma", "scale"),
    [
        (ValueUnits(), 0.99, 1.0),  # the usual one, of an agent that says nothing
        (ValueUnits(discount=0.9), 0.9, 1.0),
        (ValueUnits(discount=0.5, reward_scale=3.0), 0.5, 3.0),
    ],
)
def test_surprise_is_the_error_of_the_value(states, units, gamma, scale):
    values, rewards = (states.column(name).astype(float) for name in ("values", "rewards"))
    agent = dot_agent()
    agent.value_units = units
    desired = np.zeros(40)
    for positions in split_episodes(states):
        for here, following in itertools.pairwise(positions):
            expected = rewards[here] + gamma * scale * values[following]
            desired[here] = abs(expected - scale * values[here])
    assert compute_importance(agent, states, "surprise") == pytest.approx(desired)


def test_before_failure_ranks_ends_of_bad_episodes(states, caplog):
    rewards = states.column("rewards").astype(float)
    rewards[28:] -= 5
    states = states.with_columns(rewards=rewards)
    episodes = split_episodes(states)
    *whole, cut = episodes
    returns = [sum(rewards[positions]) for positions in whole]
    assert sum(rewards[cut]) < min(returns)  # it looks like the worst
    desired = np.zeros(40)
    for positions, gained in zip(whole, returns, strict=True):
        weight = (max(returns) - gained) / (max(returns) - min(returns))
        for left, position in enumerate(reversed(positions)):
            desired[position] = weight / (1 + left)
    found = compute_importance(dot_agent(), states, "before_failure")
    assert found == pytest.approx(desired) and not caplog.messages
    worst = episodes[int(np.argmin(returns))]
    assert found.argmax() == worst[-1] and found.max() == 1


def test_episodes_of_like_returns_need_not_have_failed(states, caplog):
    rewards = np.zeros(40)
    for number, positions in enumerate(split_episodes(states)):
        rewards[positions[0]] = 10 + number
    compute_importance(dot_agent(), states.with_columns(rewards=rewards), "before_failure")
    assert "which need not have failed" in caplog.text


def test_episodes_of_one_return_have_not_failed(states):
    same = states.with_columns(rewards=np.zeros(40))
    with pytest.raises(ExplainError, match="all 3 episodes have the return 0, none has failed"):
        compute_importance(dot_agent(), same, "before_failure")


def test_one_whole_episode_is_compared_with_none(states):
    with pytest.raises(ExplainError, match="there are no two to compare"):
        compute_importance(dot_agent(), states.subset(np.arange(20)), "before_failure")


def test_what_an_agent_does_not_have_is_refused(states, q_agent):
    policy = Agent.from_model(PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8))
    continuous = Agent.from_model(SAC("MlpPolicy", "Pendulum-v1"))
    assert isinstance(continuous.action_space, spaces.Box)
    for agent, name, says in [
        (policy, "advantage", "has no Q-values, which advantage needs: use gap"),
        (continuous, "advantage", "use value_change"),
        (continuous, "gap", "use value_change"),
        (policy, "score_gap", "is called 'gap' now"),
        (policy, "vlaue_low", "did you mean 'value_low'"),
    ]:
        with pytest.raises(ExplainError, match=says):
            choose_importance(agent, name)
    assert choose_importance(q_agent, "advantage") == "advantage"
    assert (choose_importance(policy, None), choose_importance(continuous, None)) == (
        "gap", "value_change",
    )  # fmt: skip
    unknown = states.with_columns(values=np.full(40, np.nan))
    for name in ("value_low", "value_change", "surprise"):
        with pytest.raises(ExplainError, match=f"no values, which {name} needs: use gap"):
            compute_importance(policy, unknown, name)
        with pytest.raises(ExplainError, match="use before_failure"):
            compute_importance(continuous, unknown, name)


def test_every_measure_is_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "highlights.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"`{name}`" in page
