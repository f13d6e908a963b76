"""The discount and the scale of rewards that an agent's value is of, however it is made."""

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_explain import Agent, ExplainError, ValueUnits, load_agent
from tests.toys import dot_agent


@pytest.fixture(scope="module")
def trained():
    env = VecNormalize(make_vec_env("Pendulum-v1", 2), gamma=0.9)
    return PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, gamma=0.9).learn(64)


def scale_of(env) -> float:
    """How many of its own rewards make one normalized reward, small enough not to be clipped."""
    return 0.01 / float(env.normalize_reward(np.array(0.01)))


def test_a_live_model_says_both(trained):
    units = Agent.from_model(trained).value_units
    assert units.discount == 0.9
    assert units.reward_scale == pytest.approx(scale_of(trained.get_vec_normalize_env()))
    assert units.reward_scale > 2  # rewards of Pendulum are large
    plain = Agent.from_model(DQN("MlpPolicy", "CartPole-v1", gamma=0.97)).value_units
    assert plain == ValueUnits(discount=0.97)
    given = Agent.from_model(trained, value_units=ValueUnits(0.5)).value_units
    assert given == ValueUnits(discount=0.5)


@pytest.mark.parametrize(
    ("name", "norm_reward", "given", "scaled"),
    [
        ("vecnormalize.pkl", True, {}, True),
        ("vecnormalize.pkl", False, {}, False),
        ("mine.pkl", True, {"vec_normalize": "mine.pkl"}, True),
        ("vecnormalize.pkl", True, {"vec_normalize": False}, False),
        (None, True, {}, False),
    ],
)
def test_files_say_both(trained, tmp_path, name, norm_reward, given, scaled):
    env = trained.get_vec_normalize_env()
    trained.save(tmp_path / "model.zip")
    env.norm_reward = norm_reward
    try:
        if name is not None:
            env.save(tmp_path / name)
    finally:
        env.norm_reward = True
    given = {key: tmp_path / each if each else each for key, each in given.items()}
    agent = load_agent("ppo", "Pendulum-v1", folder=tmp_path / "model.zip", **given)
    scale = pytest.approx(scale_of(env)) if scaled else None
    assert agent.value_units.discount == 0.9
    assert agent.value_units.reward_scale == scale


def test_what_is_not_known_is_said():
    agent = dot_agent()
    assert agent.value_units == ValueUnits() and agent.value_units.gamma == 0.99
    assert "does not say" in agent.value_units.describe()
    said = ValueUnits(0.95, 12.34).describe()
    assert "discounted by 0.95, as in the agent's training." in said
    assert "divided its rewards by 12.3 at the end" in said
    values = np.array([[1.0, -2.0]])
    assert ValueUnits(0.95).unscale(values) is values
    assert ValueUnits(reward_scale=3.0).unscale(values).tolist() == [[3.0, -6.0]]


@pytest.mark.parametrize(
    "wrong", [{"discount": 1.5}, {"discount": -0.1}, {"reward_scale": 0}, {"reward_scale": np.inf}]
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(ExplainError, match="give a number"):
        ValueUnits(**wrong)
