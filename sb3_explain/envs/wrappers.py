"""Wrappers that environments of the VisionMask paper need, by dotted name in a recipe."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.screen import find_screen


class TransposedPicture(gym.Wrapper[Any, Any, Any, Any]):
    """Rendered frames with rows and columns exchanged.

    The images that highway-env gives to agents run along the road on their first axis, while its
    rendered frames do on their second: without this, maps would lie across the road.

    :param env: with ``render_mode="rgb_array"``, or none
    """

    def render(self) -> Any:
        """(width, height, 3) of the (height, width, 3) that the environment renders."""
        picture = self.env.render()
        return picture.swapaxes(0, 1) if isinstance(picture, np.ndarray) else picture


class ColorFrames(gym.ObservationWrapper[NDArray[np.uint8], Any, Any]):
    """The coloured frame that SB3's ``AtariWrapper`` makes its observation from, at its size.

    :param env: behind an ``AtariWrapper``
    :raises ExplainError: if there is none
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._screen = find_screen(env)
        # of the extra `atari`, and there wherever an AtariWrapper is
        self._cv2 = importlib.import_module("cv2")
        if self._screen == env.render:
            raise ExplainError("ColorFrames needs an environment behind SB3's AtariWrapper")
        self._size: tuple[int, int] = env.observation_space.shape[:2]  # type: ignore[index,assignment]
        self.observation_space = spaces.Box(0, 255, (*self._size, 3), np.uint8)

    def observation(self, observation: Any) -> NDArray[np.uint8]:
        """(H, W, 3) area averages of the screen, as the observation has them of its grey."""
        height, width = self._size
        screen: Any = self._screen()
        frame: Any = self._cv2.resize(screen, (width, height), interpolation=self._cv2.INTER_AREA)
        return frame  # type: ignore[no-any-return]


class PooledScreen(gym.ObservationWrapper[dict[str, Any], Any, dict[str, Any]]):
    """One image of a Dict observation, made smaller by the mean over blocks of pixels.

    :param env: with a Dict of observations
    :param factor: side of a block
    :param key: of the image (H, W, C) of type uint8
    :raises ExplainError: if there is no such image, or the blocks do not cover it
    """

    def __init__(self, env: gym.Env[Any, Any], factor: int = 4, key: str = "screen") -> None:
        super().__init__(env)
        self.factor, self.key = factor, key
        space = env.observation_space
        by_key = space.spaces if isinstance(space, spaces.Dict) else {}
        image = by_key.get(key)
        if not isinstance(image, spaces.Box) or image.dtype != np.uint8 or len(image.shape) != 3:
            raise ExplainError(f"PooledScreen needs a Dict with an image {key!r}, not {space}")
        height, width, channels = image.shape
        if factor < 1 or height % factor or width % factor:
            raise ExplainError(f"blocks of {factor} pixels do not cover {height} x {width}")
        self._blocks = (height // factor, factor, width // factor, factor, channels)
        small = spaces.Box(0, 255, (height // factor, width // factor, channels), np.uint8)
        self.observation_space = spaces.Dict({**by_key, key: small})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with its image made smaller."""
        return {**observation, self.key: self._pool(observation[self.key])}

    def _pool(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # rows first: they lie side by side in memory, so that the larger part of the sum is fast
        sums = image.reshape(self._blocks).sum(axis=1, dtype=np.uint32).sum(axis=2)
        means: NDArray[np.uint8] = ((sums + self.factor**2 // 2) // self.factor**2).astype(np.uint8)
        return means


#: the name of version 0.1, which saved agents may hold
ColourFrames = ColorFrames
