"""Whether a live environment begins the same episode from the same seed."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

logger = logging.getLogger(__name__)


class Unseeded(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the seed from an environment whose ``reset`` takes none.

    :param env: the environment
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return self.env.reset()


def takes_seed(env: gym.Env[Any, Any]) -> bool:
    """Whether ``reset`` of an environment takes a seed."""
    parameters = inspect.signature(env.unwrapped.reset).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    return "seed" in parameters or inspect.Parameter.VAR_KEYWORD in kinds


def warn_if_unseeded(name: str, begin: Callable[[], Any]) -> None:
    """Begin an episode twice from the same seed, and say so if it begins differently.

    :param name: name of the environment
    :param begin: resets to an episode of a fixed seed, and returns the first observation
    """
    try:
        same = are_equal(begin(), begin())
    except (AttributeError, NotImplementedError):  # not every VecEnv has a method seed
        same = False
    if not same:
        logger.warning("%s does not heed its seed: the same call will play other episodes", name)


def are_equal(first: Any, second: Any) -> bool:
    """Whether two observations are the same, or all keys of them."""
    if isinstance(first, dict):
        return all(are_equal(first[key], second[key]) for key in first)
    return bool(np.array_equal(np.asarray(first), np.asarray(second)))
