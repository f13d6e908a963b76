"""Names of the features of an observation, which an environment or a user gives."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gymnasium import spaces

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line, quote
from sb3_explain.envs.spaces import SINGLE, spaces_by_key

logger = logging.getLogger(__name__)

FeatureNames = Sequence[str] | Mapping[str, Sequence[str]]


def read_feature_names(
    names: FeatureNames | None, space: spaces.Space[Any], n_stack: int
) -> dict[str, tuple[str, ...]]:
    """Read the names of features, by key of the observation.

    :param names: one name per feature of an observation or of one frame of it, or a dict of such by
        key; ``None`` if there are none
    :param space: observation space of the policy
    :param n_stack: number of frames stacked in an observation
    :raises ExplainError: if a key is not observed, or has another number of features
    """
    by_key = names if isinstance(names, Mapping) else {SINGLE: names} if names is not None else {}
    observed = spaces_by_key(space)
    for key, given in by_key.items():
        if key not in observed:
            raise ExplainError(f"feature_names has {key!r}, which is not among {sorted(observed)}")
        n = math.prod(observed[key].shape or ())
        if isinstance(given, str) or len(given) not in (n, n // n_stack):
            raise ExplainError(
                f"{len(given)} feature names for {n} features of "
                f"{key or 'an observation'}: give one name per feature"
            )
    return {key: tuple(map(str, given)) for key, given in by_key.items()}


def accept_feature_names(
    names: Any, space: spaces.Space[Any], n_stack: int
) -> dict[str, tuple[str, ...]] | None:
    """Read the names that an environment has for its features; warn of those that do not fit.

    Names of the other keys of a Dict observation stay.

    :param names: the environment's attribute ``feature_names``; ``None`` if it has none
    :param space: observation space of the policy
    :param n_stack: number of frames stacked in an observation
    :return: names by key; ``None`` if there are none that fit
    """
    if names is None:
        return None
    accepted: dict[str, tuple[str, ...]] = {}
    for key, given in names.items() if isinstance(names, Mapping) else [(SINGLE, names)]:
        try:
            accepted |= read_feature_names({key: given}, space, n_stack)
        except (ExplainError, TypeError) as error:
            what = f"feature_names of {quote(str(key))}" if key else "feature_names"
            logger.warning("the environment's %s are left out (%s)", what, one_line(error))
    return accepted or None


def list_feature_names(
    sizes: Mapping[str, int], names: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Name all features: as they are named, or ``"feature 3"``, or ``"speed 3"`` for a key.

    The features of stacked frames are told apart by their age: ``"angle, t - 1"``.

    :param sizes: number of features by key
    :param names: names of the features by key, of an observation or of one frame of it
    """
    listed: list[str] = []
    for key, size in sizes.items():
        own = (names or {}).get(key)
        if not own or size % len(own):
            listed += [f"{key or 'feature'} {i}" for i in range(size)]
            continue
        ages = range(size // len(own) - 1, -1, -1)
        listed += [f"{name}, t - {age}" if age else name for age in ages for name in own]
    return listed
