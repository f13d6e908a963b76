"""A small task for trees: which way to go on a line, in units that VecNormalize would change."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sb3_explain import Agent, EnvRecipe, Normalizer

#: statistics of VecNormalize: the place where the agent turns is 5, not 0
STATISTICS = Normalizer(np.array([5.0, 0.0]), np.array([4.0, 1.0]), epsilon=0.0, clip=10.0)


class Line(gym.Env):
    """A point wanders between 0 and 10; action 0 moves it up, action 1 down; 5 is the best place.

    :param continuous: whether the action is the move itself
    """

    feature_names = ("place", "noise")

    def __init__(self, continuous: bool = False) -> None:
        self.observation_space = spaces.Box(-100.0, 100.0, (2,), np.float32)
        box = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = box if continuous else spaces.Discrete(2)
        self.continuous = continuous

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.place = 0, self.np_random.uniform(0, 10)
        return self._observe(), {}

    def _observe(self):
        return np.array([self.place, self.np_random.normal()], np.float32)

    def step(self, action):
        self.steps += 1
        move = float(action[0]) if self.continuous else 1 - 2 * int(action)
        self.place = np.clip(self.place + move + self.np_random.normal(0, 0.3), 0, 10)
        return self._observe(), -abs(self.place - 5), False, self.steps == 20, {}


gym.register("Line-v0", Line)


class Net(nn.Module):
    """Moves towards 0, of what it is shown.

    :param continuous: whether it returns the move
    """

    def __init__(self, continuous: bool = False) -> None:
        super().__init__()
        self.continuous = continuous

    def forward(self, observations: Tensor) -> Tensor:
        place = observations[:, 0]
        return -place[:, None] if self.continuous else torch.stack([-place, place], dim=1)


def line_agent(*, continuous: bool = False, normalized: bool = True, **options) -> Agent:
    """The agent of :class:`Net` on :class:`Line`."""
    env = Line(continuous)
    recipe = EnvRecipe(
        "Line-v0", env_kwargs={"continuous": continuous},
        normalizers={"": STATISTICS} if normalized else {},
    )  # fmt: skip
    names = ["move"] if continuous else ["up", "down"]
    return Agent.from_module(
        Net(continuous), env.observation_space, env.action_space, recipe=recipe,
        action_names=names, feature_names=["place", "noise"], **options,
    )  # fmt: skip
