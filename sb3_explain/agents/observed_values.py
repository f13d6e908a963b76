"""Whether the values of an observation can be the policy's: categories, pixels, normalized ones."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import Normalizer

logger = logging.getLogger(__name__)

#: share of a bound by which float32 may round above it
ROUNDING = 1e-5


def check_values(observed: Tensor | NDArray[Any], space: spaces.Space[Any], which: str) -> None:
    """Refuse categories that do not exist, and warn of pixels in another range.

    :param observed: (B, ...) observations of one key
    :param space: the key's space
    :param which: which key it is, for messages
    :raises ExplainError: for a category that is fractional or outside of its range
    """
    count = _count_categories(space)
    if count is not None:
        _require_categories(observed, count, which)
    elif is_image_space(space) and len(observed):
        low, high = float(observed.min()), float(observed.max())
        is_float = "float" in str(observed.dtype)
        if low < 0 or high > 255:
            logger.warning(
                "%s holds pixels from %.3g to %.3g: the policy takes them as they are, and was "
                "trained on 0..255",
                which, low, high,
            )  # fmt: skip
        elif is_float and 0 < high <= 1:
            logger.warning(
                "%s holds pixels of at most %.3g: the policy takes them as parts of 255, nearly "
                "black; multiply them by 255",
                which, high,
            )  # fmt: skip


def warn_if_raw(observed: Tensor | NDArray[Any], normalizer: Normalizer | None, which: str) -> None:
    """Warn of values that VecNormalize, which clips what it has normalized, cannot have returned.

    Other raw values cannot be told from normalized ones.

    :param observed: (B, ...) observations of one key
    :param normalizer: statistics of the key; ``None`` if it is not normalized
    :param which: which key it is, for messages
    """
    if normalizer is None or not len(observed):
        return
    largest = max(abs(float(observed.min())), abs(float(observed.max())))
    if largest > normalizer.clip * (1 + ROUNDING):
        logger.warning(
            "%s holds values up to %.3g, and what VecNormalize returns ends at %.3g: give what the "
            "normalized environment returns, or agent.normalize(observations)",
            which, largest, normalizer.clip,
        )  # fmt: skip


def _count_categories(space: spaces.Space[Any]) -> NDArray[np.int64] | None:
    """Number of categories of each feature; ``None`` if they are numbers."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(space.n + space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(space.nvec)
    return np.asarray(2) if isinstance(space, spaces.MultiBinary) else None


def _require_categories(
    observed: Tensor | NDArray[Any], count: NDArray[np.int64], which: str
) -> None:
    given = observed.detach().cpu().numpy() if isinstance(observed, Tensor) else observed
    if given.dtype == bool:  # always 0 or 1
        return
    known = np.broadcast_to(count, given.shape)
    wrong = ~((given == np.floor(given)) & (given >= 0) & (given < known))
    if wrong.any():
        raise ExplainError(
            f"{which} holds the category {given[wrong][0]:g}: give a whole number from 0 to "
            f"{known[wrong][0] - 1}"
        )
