"""Wrappers that a recipe names by dotted name: of the paper's environments, and of Ant."""

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
    """Exchanges rows and columns of rendered frames.

    In highway-env's observations the road runs along the first axis, in its rendered frames along
    the second: without this wrapper, saliency maps would lie across the road.

    :param env: environment whose ``render()`` returns frames or ``None``
    """

    def render(self) -> Any:
        """The rendered frame (height, width, 3), transposed to (width, height, 3)."""
        picture = self.env.render()
        return picture.swapaxes(0, 1) if isinstance(picture, np.ndarray) else picture


class ColorFrames(gym.ObservationWrapper[NDArray[np.uint8], Any, Any]):
    """Observes the color frame that SB3's ``AtariWrapper`` makes its observation from, resized.

    :param env: environment with an ``AtariWrapper``
    :raises ExplainError: if it has no ``AtariWrapper``
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._screen = find_screen(env)
        # comes with the extra `atari`, so it is installed if there is an AtariWrapper
        self._cv2 = importlib.import_module("cv2")
        if self._screen == env.render:
            raise ExplainError("ColorFrames needs an environment behind SB3's AtariWrapper")
        self._size: tuple[int, int] = env.observation_space.shape[:2]  # type: ignore[index,assignment]
        self.observation_space = spaces.Box(0, 255, (*self._size, 3), np.uint8)

    def observation(self, observation: Any) -> NDArray[np.uint8]:
        """(H, W, 3) the screen, resized by area averages as the gray observation is."""
        height, width = self._size
        screen: Any = self._screen()
        frame: Any = self._cv2.resize(screen, (width, height), interpolation=self._cv2.INTER_AREA)
        return frame  # type: ignore[no-any-return]


class PooledScreen(gym.ObservationWrapper[dict[str, Any], Any, dict[str, Any]]):
    """Shrinks one image of a Dict observation to the means over blocks of pixels.

    :param env: environment with Dict observations
    :param factor: side of a block, in pixels
    :param key: key of the image, which is (H, W, C) of uint8
    :raises ExplainError: if there is no such image, or its sides are no multiples of ``factor``
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
        """The observation with its image shrunk."""
        return {**observation, self.key: self._pool(observation[self.key])}

    def _pool(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # rows first: they lie side by side in memory, so that the larger part of the sum is fast
        sums = image.reshape(self._blocks).sum(axis=1, dtype=np.uint32).sum(axis=2)
        means: NDArray[np.uint8] = ((sums + self.factor**2 // 2) // self.factor**2).astype(np.uint8)
        return means


class ZeroContactForces(gym.ObservationWrapper[NDArray[np.float64], Any, NDArray[np.float64]]):
    """Sets the contact forces in the observations of Ant to 0.

    Agents of Ant-v2 and Ant-v3 were trained with these 84 values, but MuJoCo 2.0 computed none.

    :param env: Ant-v4 with ``use_contact_forces=True``
    :raises ExplainError: if its observations are not 111 numbers
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        if env.observation_space.shape != (111,):
            raise ExplainError(
                f"ZeroContactForces needs observations of 111 numbers, not {env.observation_space}"
            )

    def observation(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """(111,) the observation, its last 84 numbers 0."""
        return np.concatenate([observation[:27], np.zeros(84)])


#: name in version 0.1, which saved recipes may hold
ColourFrames = ColorFrames
