"""Environments of users that fail: one line that names them, and nothing finished is lost."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_explain import Agent, ExplainError, StateDataset, collect
from sb3_explain.states.play import play_transformed

SPACE = spaces.Box(-1, 1, (3,), np.float32)


class Fragile(gym.Env):
    """Episodes of ten steps; ``fault`` says what goes wrong, from step ``at`` of all steps on."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = SPACE
    action_space = spaces.Discrete(2)
    render_mode = "rgb_array"

    def __init__(self, fault="none", at=25):
        self.fault, self.at, self.n = fault, at, 0

    def failing(self, fault):
        return self.fault == fault and self.n >= self.at

    def observe(self):
        if self.failing("text"):
            return "seen"
        return np.zeros(4 if self.failing("shape") else 3, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.failing("reset"):
            raise KeyError("level")
        if self.fault == "old reset":
            return self.observe()
        return self.observe(), {}

    def step(self, action):
        self.n += 1
        if self.failing("step"):
            raise OSError(28, "boom")  # which is no full disk of the store
        if self.fault == "old step":
            return self.observe(), 0.0, False, {}
        return self.observe(), 1.0, self.n % 10 == 0, False, {}

    def render(self):
        drawn = {
            "str": "a picture",
            "RGBA": np.zeros((8, 8, 4), np.uint8),
            "floats": np.zeros((8, 8, 3)),
            "nothing": None,
        }
        if self.failing("raises"):
            raise RuntimeError("no screen")
        if self.failing("size"):
            return np.zeros((9, 8, 3), np.uint8)
        return drawn.get(self.fault, np.zeros((8, 8, 3), np.uint8))


@pytest.fixture(scope="module")
def agent():
    model = PPO("MlpPolicy", Fragile(), n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]})
    return Agent.from_model(model)


def fail(agent, fault, folder=None, **options):
    """Collect from a fragile environment, and return the error."""
    make = lambda: Fragile(fault, **options)  # noqa: E731
    with pytest.raises(ExplainError) as caught:
        collect(agent, make, 60, folder=folder, n_envs=1, max_per_episode=0, progress=False)
    assert "Fragile" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("step", "raised in step 5 of episode 2: OSError"),
        ("reset", "raised in reset: KeyError"),
        ("shape", "observes what its observation_space does not hold: (4,)"),
        ("text", "observes what its observation_space does not hold: 'seen'"),
        ("raises", "no screen"),
        ("size", "renders (9, 8, 3) after (8, 8, 3)"),
    ],
)
def test_an_environment_that_fails_is_named_and_its_finished_episodes_stay(
    agent, tmp_path, fault, said
):
    error = fail(agent, fault, tmp_path / "states")
    assert said in str(error)
    n = 3 if fault == "reset" else 2  # the step of the fault ends the third episode
    assert f"{n} finished episode(s) stay in {tmp_path}" in str(error)
    assert len(StateDataset.open(tmp_path / "states")) == 10 * n
    whole = collect(
        agent, Fragile, 60, folder=tmp_path / "states", n_envs=1, max_per_episode=0, progress=False
    )
    assert len(whole) == 60


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("str", "renders str, no array"),
        ("RGBA", "uint8 of shape (8, 8, 4)"),
        ("floats", "float64 of shape (8, 8, 3)"),
        ("nothing", "renders NoneType"),
    ],
)
def test_a_picture_of_another_kind_is_refused_at_the_first_step(agent, tmp_path, fault, said):
    assert said in str(fail(agent, fault, tmp_path / "states"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["old reset", "old step"])
def test_environments_of_gym_are_told_what_gymnasium_asks(agent, fault):
    assert "in Gymnasium" in str(fail(agent, fault))


def test_the_cause_is_kept_for_who_looks_for_it(agent, tmp_path):
    assert isinstance(fail(agent, "step").__cause__, OSError)
    assert isinstance(fail(agent, "step", tmp_path / "states").__cause__, OSError)


@pytest.mark.parametrize("fault", ["step", "reset", "shape"])
def test_a_vec_env_that_fails_is_named(agent, fault):
    at = 25 if fault != "reset" else 10
    env = DummyVecEnv([lambda: Fragile(fault, at=at)])
    with pytest.raises(ExplainError):
        collect(agent, env, 60, progress=False, render=False)


def test_playing_for_returns_names_it_as_well(agent):
    with pytest.raises(ExplainError, match="Fragile raised in step"):
        play_transformed(
            agent,
            {"all": lambda batch: batch.observations},
            env=lambda: Fragile("step", at=2),
            n_envs=1,
        )


def test_axes_of_length_one_are_dropped_as_stable_baselines_does(agent):
    class Spare(Fragile):
        def observe(self):
            return np.full((1, 3), 0.5, np.float32)

    states = collect(agent, Spare, 5, progress=False)
    assert states.observations([4]).tolist() == [[0.5] * 3]
