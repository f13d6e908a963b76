"""Random observations of any observation space, to try out a policy on."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[Any]
#: bounds beyond this are those of the number type, not of what is observed
UNBOUNDED = 1e6


def sample_observations(
    space: spaces.Space[Any], n: int, rng: np.random.Generator
) -> Array | dict[str, Array]:
    """Draw n finite observations; the space's own random state is not used.

    :param space: Box, Discrete, MultiDiscrete or MultiBinary space, or a Dict of these
    :param n: number of observations
    :param rng: random generator to draw from
    :return: (n, ...) array of the space's dtype, or a dict of such arrays
    """
    if isinstance(space, spaces.Dict):
        return {key: _sample(part, n, rng) for key, part in space.items()}
    return _sample(space, n, rng)


def make_plain_observations(space: spaces.Space[Any], n: int) -> Array | dict[str, Array]:
    """Make n equal observations: ones where only 0 and 1 are observed, zeros for all the rest.

    So a mask of actions allows every action. A Box that excludes zero gives its nearest number.
    """
    if isinstance(space, spaces.Dict):
        return {key: _make_plain(part, n) for key, part in space.items()}
    return _make_plain(space, n)


def _make_plain(space: spaces.Space[Any], n: int) -> Array:
    shape = (n, *(space.shape or ()))
    if _is_binary(space):
        return np.ones(shape, space.dtype)
    zeros = np.zeros(shape, space.dtype)
    if isinstance(space, spaces.Box):
        return np.clip(zeros, space.low, space.high).astype(space.dtype)
    return zeros


def _is_binary(space: spaces.Space[Any]) -> bool:
    if isinstance(space, spaces.Box):
        whole = np.issubdtype(space.dtype, np.integer)
        return bool(whole and (space.low == 0).all() and (space.high == 1).all())
    return isinstance(space, spaces.MultiBinary)


def _sample(space: spaces.Space[Any], n: int, rng: np.random.Generator) -> Array:
    shape = (n, *(space.shape or ()))
    if isinstance(space, spaces.Discrete):
        # Stable-Baselines3 makes categories 0 .. n-1 one-hot, whatever the space's start
        return rng.integers(0, int(space.n), shape).astype(space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(0, space.nvec, shape).astype(space.dtype)
    if not _is_binary(space):
        assert isinstance(space, spaces.Box)
        return _sample_box(space, n, rng)
    bits = rng.integers(0, 2, shape).astype(space.dtype)
    # a mask of actions allows one at least
    rows = bits.reshape(n, -1)
    rows[np.arange(n), rng.integers(0, rows.shape[1], n)] = 1
    return bits


def _sample_box(space: spaces.Box, n: int, rng: np.random.Generator) -> Array:
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    has_low, has_high = low > -UNBOUNDED, high < UNBOUNDED
    shape = (n, *space.shape)
    share = rng.random(shape)
    if len(space.shape) > 2:
        # pictures of pure noise are all alike to a network that averages
        share = share * rng.random((n, *[1] * len(space.shape)))
    normal = rng.standard_normal(shape)
    with np.errstate(invalid="ignore", over="ignore"):
        bounded = low + share * (high - low)
    drawn = np.where(
        has_low & has_high,
        bounded,
        np.where(has_low, low + np.abs(normal), np.where(has_high, high - np.abs(normal), normal)),
    )
    if np.issubdtype(space.dtype, np.integer):
        drawn = np.round(drawn)
    return np.clip(drawn, space.low, space.high).astype(space.dtype)
