"""Compare the spaces that a saved model names with those of the user or of an environment.

Other spaces under the same weights are another agent: pictures of another dtype are not divided by
255, keys in another order are concatenated differently. The file is right about its own policy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space

from sb3_explain.agents.loading.saved_spaces import describe_space
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote

Space = spaces.Space[Any]

#: gym wrote the largest number of float32 for "no bound"
LARGEST = float(np.finfo(np.float32).max)


class Source(NamedTuple):
    """Where a space comes from, for messages.

    :param said: begins the sentence that the space ends: ``"Pong-v0 observes"``
    :param advice: what to do about a contradiction
    :param strict: whether other bounds are a contradiction too
    """

    said: str
    advice: str
    strict: bool = False


def merge_spaces(saved: Space | None, given: Space, source: Source) -> tuple[Space, list[str]]:
    """The space that the policy was trained with, and notes on what differs without effect.

    :param saved: what the file says; ``None`` if it cannot be read
    :param given: what the user or the environment says
    :param source: where ``given`` comes from
    :return: the file's space, with the bounds of ``given`` where the file has none
    :raises ExplainError: if the policy would act differently, or its weights would not fit
    """
    if saved is None:
        return given, []
    if isinstance(saved, spaces.Dict) and isinstance(given, spaces.Dict):
        if saved.spaces.keys() != given.spaces.keys():
            raise _contradiction(saved, given, source)
        merged, notes = [], []
        for key, part in saved.spaces.items():
            within = source._replace(said=f"under {quote(key)}, {source.said}")
            space, more = merge_spaces(part, given.spaces[key], within)
            merged.append((key, space))
            notes += more
        return spaces.Dict(merged), notes
    if isinstance(saved, spaces.Box) and isinstance(given, spaces.Box):
        return _merge_boxes(saved, given, source)
    if type(saved) is not type(given) or saved != given:
        raise _contradiction(saved, given, source)
    return saved, []


def _merge_boxes(saved: spaces.Box, given: spaces.Box, source: Source) -> tuple[Space, list[str]]:
    # SB3 divides by 255 what is a picture to it.
    if saved.shape != given.shape or is_image_space(saved) != is_image_space(given):
        raise _contradiction(saved, given, source)
    bounds = _stack_bounds(saved)
    if np.allclose(bounds, _stack_bounds(given), rtol=1e-4):
        if saved.dtype == given.dtype:
            return saved, []
    elif source.strict:
        raise _contradiction(saved, given, source)
    elif saved.dtype == given.dtype and np.isinf(bounds).all():
        return given, []  # gym knew of no bounds where gymnasium does
    return saved, [f"{_compare(saved, given, source)}, which is used"]


def _stack_bounds(space: spaces.Box) -> NDArray[np.float64]:
    """Both bounds, with infinity in place of the number that stands for it."""
    bounds = np.stack([space.low, space.high]).astype(np.float64)
    return np.where(np.abs(bounds) >= LARGEST, np.copysign(np.inf, bounds), bounds)


def _compare(saved: Space, given: Space, source: Source) -> str:
    return f"{source.said} {describe_space(given)}, but this file says {describe_space(saved)}"


def _contradiction(saved: Space, given: Space, source: Source) -> ExplainError:
    return ExplainError(f"{_compare(saved, given, source)}: {source.advice}")
