"""Environments under the names and in the versions that exist today."""

import importlib.util

import gymnasium as gym
import pytest
from gymnasium import spaces
from stable_baselines3.common.envs import SimpleMultiObsEnv

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.action_names import find_action_names
from sb3_explain.envs.recipe import EnvRecipe, import_wrapper


@pytest.mark.parametrize(
    ("env_id", "says"),
    [
        ("CartPole-v9", "cannot be made.*did you mean 'CartPole-v1'"),
        ("Nothing", "cannot be made"),
        ("os:CartPole-v1", "'os'"),
    ],
)
def test_an_environment_that_cannot_be_made_is_one_line(env_id, says):
    with pytest.raises(ExplainError, match=says) as error:
        EnvRecipe(env_id).make()
    assert "\n" not in str(error.value)


def test_arguments_that_the_environment_does_not_take():
    with pytest.raises(ExplainError, match="CartPole-v1"):
        EnvRecipe("CartPole-v1", {"color": 3}).make()


@pytest.mark.parametrize("env_id", ["FetchReach-v1", "gymnasium_robotics:FetchReach-v1"])
def test_environments_of_robotics_name_their_package(env_id):
    """Not Reacher, whose name is similar."""
    if importlib.util.find_spec("gymnasium_robotics"):
        pytest.skip("gymnasium-robotics is installed")
    with pytest.raises(ExplainError, match="pip install gymnasium-robotics") as error:
        EnvRecipe(env_id).make()
    assert "Reacher" not in str(error.value)


def test_no_environment_that_is_gone_is_suggested():
    with pytest.raises(ExplainError) as error:
        EnvRecipe("Reachr-v2").make()
    assert "did you mean 'Reacher-v" in str(error.value)
    assert "did you mean 'Reacher-v2" not in str(error.value)


def test_the_render_mode_is_the_callers():
    env = EnvRecipe("CartPole-v1", {"render_mode": "human"}).make()
    assert env.render_mode is None


def test_an_environment_that_renders_nothing_is_made_without_a_render_mode():
    """Such as SB3's own, whose constructors know no render_mode."""
    gym.register("Multi-v0", entry_point=SimpleMultiObsEnv, kwargs={"discrete_actions": False})
    try:
        env = EnvRecipe("Multi-v0").make()
        assert set(env.reset(seed=0)[0]) == {"img", "vec"}
        with pytest.raises(ExplainError, match="renders nothing: collect with render=False"):
            EnvRecipe("Multi-v0").make("rgb_array")
    finally:
        gym.registry.pop("Multi-v0")


def test_wrappers_are_applied_innermost_first_with_their_arguments():
    recipe = EnvRecipe(
        "CartPole-v1",
        wrappers=(
            ("gymnasium.wrappers.TimeLimit", {"max_episode_steps": 5}),
            ("gymnasium.wrappers.FlattenObservation", {}),
        ),
    )
    env = recipe.make()
    assert isinstance(env, gym.wrappers.FlattenObservation)
    assert isinstance(env.env, gym.wrappers.TimeLimit)


def test_only_wrappers_are_wrappers():
    assert import_wrapper("gymnasium.wrappers.TimeLimit") is gym.wrappers.TimeLimit
    for name in ("gymnasium.make", "gymnasium.wrappers.Nothing", "gymnasium.core.Env"):
        with pytest.raises(ExplainError, match="wrapper"):
            import_wrapper(name)


def test_names_of_actions():
    assert find_action_names("CartPole-v1", spaces.Discrete(2)) == ("left", "right")
    assert find_action_names("CartPole-v1", spaces.Discrete(3)) is None
    assert find_action_names("Unheard-v0", spaces.Discrete(2)) is None
    # a wrapper that makes a Box action discrete makes other actions of it
    assert find_action_names("HalfCheetah-v5", spaces.Box(-1, 1, (6,)))[0] == "back thigh"
    assert find_action_names("HalfCheetah-v5", spaces.Discrete(6)) is None
