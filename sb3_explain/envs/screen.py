"""The screen at a state: what a person looks at, and what an agent's frame was made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import WarpFrame


class KeepFrame(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the newest observation that passes through."""

    frame: NDArray[np.uint8]

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        self.frame, info = self.env.reset(**options)
        return self.frame, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.frame, *rest = self.env.step(action)
        return self.frame, *rest  # type: ignore[return-value]


def find_screen(env: gym.Env[Any, Any]) -> Callable[[], Any]:
    """How to have an RGB picture (h, w, 3) of the environment's current state.

    Behind SB3's ``AtariWrapper`` it is the frame that became the observation: the maximum of the
    last two of the skipped frames. ``render()`` shows the last one alone, which flickers, and on
    which the agent may act otherwise.

    :param env: wrapped as the agent needs it, before it is reset; a wrapper may be put inside
    """
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, WarpFrame) and has_colors(layer.env.observation_space):
            layer.env = kept = KeepFrame(layer.env)
            return lambda: kept.frame
        layer = layer.env
    return env.render


def has_colors(space: spaces.Space[Any]) -> bool:
    """Whether a frame is an RGB picture."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3 and space.shape[2] == 3
