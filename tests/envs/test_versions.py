"""Later versions that stand in for environments that are gone."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_explain.agents.loading.environment import read_recipe
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.versions import current_id, have_same_shape
from sb3_explain.envs.wrappers import ZeroContactForces


class Sized(gym.Env):
    """Observes ``size`` numbers, or cannot be made."""

    action_space = spaces.Discrete(2)

    def __init__(self, size):
        if not size:
            raise ValueError("no simulator")
        self.observation_space = spaces.Box(-1, 1, (size,))


@pytest.fixture
def versions():
    """Version 1 is gone, 2 cannot be made, 3, 4 and 5 differ in the sizes of their observations."""
    for version, size in {2: 0, 3: 8, 4: 6, 5: 6}.items():
        gym.register(f"Sized-v{version}", lambda size=size: Sized(size))
    yield
    for version in (2, 3, 4, 5):
        gym.registry.pop(f"Sized-v{version}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LunarLander-v2", "LunarLander-v3"),
        ("LunarLanderContinuous-v2", "LunarLanderContinuous-v3"),
        ("BipedalWalker-v2", "BipedalWalker-v3"),
        ("CartPole-v1", "CartPole-v1"),
        ("CartPole-v0", "CartPole-v0"),
        ("CartPole-v9", "CartPole-v9"),  # an earlier version does not stand in for a later one
        ("Nothing-v0", "Nothing-v0"),
        ("not a name", "not a name"),
        ("somewhere:LunarLander-v2", "somewhere:LunarLander-v3"),
    ],
)
def test_old_versions_have_successors(old, new):
    assert current_id(old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("HalfCheetah-v3", "HalfCheetah-v4"),
        ("Humanoid-v3", "Humanoid-v4"),
        ("Ant-v2", "Ant-v4"),
        ("Pusher-v2", "Pusher-v5"),  # version 4 cannot be made with today's MuJoCo
    ],
)
def test_old_versions_of_mujoco_have_the_nearest_that_can_be_made(old, new):
    pytest.importorskip("mujoco")
    assert current_id(old) == new


def test_mujoco_writes_no_file_into_the_working_directory(tmp_path, monkeypatch):
    """HalfCheetah's model has an attribute that MuJoCo warns of."""
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    EnvRecipe("HalfCheetah-v4").make().close()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(("size", "new"), [(None, 3), (8, 3), (6, 4), (7, 3)])
def test_the_nearest_later_version_of_the_agents_shape_stands_in(size, new):
    space = None if size is None else spaces.Box(-np.inf, np.inf, (size,), np.float64)
    assert current_id("Sized-v1", space) == f"Sized-v{new}"


@pytest.mark.usefixtures("versions")
def test_wrappers_and_stacks_count_when_shapes_are_compared():
    wrappers = [
        {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 5}},
        {"gymnasium.wrappers.TimeAwareObservation": {"flatten": True}},
    ]
    config = {"env_wrapper": wrappers, "frame_stack": 2}
    stacked = spaces.Box(-1, 1, (2 * (6 + 1),))  # 6 numbers and the time, in each of two frames
    recipe, notes = read_recipe("Sized-v1", config, {}, {}, {}, (), observation_space=stacked)
    assert recipe.env_id == "Sized-v4"
    assert notes == ["Sized-v1 is no longer in gymnasium: Sized-v4 stands in for it"]


def test_pendulum_of_gym_is_todays(monkeypatch):
    monkeypatch.delitem(gym.registry, "phys2d/Pendulum-v0", raising=False)
    assert current_id("Pendulum-v0") == "Pendulum-v1"


@pytest.mark.parametrize("old", ["Ant-v2", "Ant-v3"])
def test_ant_observes_no_contact_forces(old):
    pytest.importorskip("mujoco")
    recipe, notes = read_recipe(old, {}, {}, {}, {}, ())
    assert "contact forces 0" in notes[0]
    env = recipe.make()
    plain = gym.make("Ant-v4", use_contact_forces=True)
    observation, _ = env.reset(seed=0)
    expected, _ = plain.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(30):
        np.testing.assert_array_equal(observation[:27], expected[:27])
        assert observation.shape == (111,)
        assert not observation[27:].any()
        action = rng.uniform(-1, 1, 8)
        observation, reward, *_ = env.step(action)
        expected, other, *_ = plain.step(action)
        assert reward == other
    assert expected[27:].any()  # todays MuJoCo computes them


def test_the_users_arguments_come_before_the_adaptations():
    pytest.importorskip("mujoco")
    with pytest.raises(ExplainError, match="ZeroContactForces needs observations of 111 numbers"):
        own = {"use_contact_forces": False}
        read_recipe("Ant-v3", {}, {}, {}, {}, (), own_kwargs=own)[0].make()


def test_contact_forces_are_of_ant():
    with pytest.raises(ExplainError, match="needs observations of 111 numbers"):
        ZeroContactForces(gym.make("CartPole-v1"))


def test_shapes_of_spaces():
    box, other = spaces.Box(0, 1, (2,)), spaces.Box(-1, 5, (2,), np.float64)
    assert have_same_shape(box, other)
    assert not have_same_shape(box, spaces.Box(0, 1, (3,)))
    assert not have_same_shape(spaces.Discrete(2), spaces.Discrete(3))
    assert not have_same_shape(spaces.Discrete(2), spaces.MultiBinary(1))
    assert have_same_shape(spaces.Dict(a=box), spaces.Dict(a=other))
    assert not have_same_shape(spaces.Dict(a=box), spaces.Dict(b=box))
    assert not have_same_shape(spaces.Dict(a=box), box)
