"""The screen of a state: the RGB picture that the agent's observation was made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import WarpFrame


class KeepFrame(gym.Wrapper[Any, Any, Any, Any]):
    """Remembers the newest observation that passes through.

    :param env: environment whose observations are frames
    """

    frame: NDArray[np.uint8]

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        self.frame, info = self.env.reset(**options)
        return self.frame, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.frame, *rest = self.env.step(action)
        return self.frame, *rest  # type: ignore[return-value]


def find_screen(env: gym.Env[Any, Any]) -> Callable[[], Any]:
    """A function that returns an RGB picture (h, w, 3) of the environment's current state.

    Behind SB3's ``AtariWrapper`` it is the frame that became the observation: the maximum of the
    last two skipped frames. ``render()`` shows only the last one, which flickers, and on which the
    agent may act differently.

    :param env: environment with all its wrappers, before it is reset; a :class:`KeepFrame` may be
        inserted below them
    """
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, WarpFrame) and has_colors(layer.env.observation_space):
            layer.env = keeper = KeepFrame(layer.env)
            return lambda: keeper.frame
        layer = layer.env
    return env.render


def has_colors(space: spaces.Space[Any]) -> bool:
    """Whether a space is of RGB pictures (H, W, 3)."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3 and space.shape[2] == 3
