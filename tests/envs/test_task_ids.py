"""Tasks of benchmarks are registered in all their modes, once."""

import gymnasium as gym
import pytest

from sb3_explain.envs.task_ids import make_task_id, register_tasks


class Named(gym.Env):
    """It knows which task it is."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, task, mode):
        self.said = (task, mode)


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)


def test_every_task_in_every_mode_is_made_and_what_stands_is_left():
    stands = make_task_id("IDS", "push", "hard")
    gym.register(stands, entry_point=lambda: Named("mine", "own"))
    register_tasks("IDS", ["push", "pull"], ["easy", "hard"], f"{__name__}:Named")
    made = {name: gym.make(name, disable_env_checker=True).unwrapped.said
            for name in gym.registry if name.startswith("IDS/")}  # fmt: skip
    assert made == {
        "IDS/push-hard-v0": ("mine", "own"), "IDS/push-easy-v0": ("push", "easy"),
        "IDS/pull-easy-v0": ("pull", "easy"), "IDS/pull-hard-v0": ("pull", "hard"),
    }  # fmt: skip
