"""States of a part of the data that are the same as training states, or hardly differ from one.

An explainer that has learned from a state has seen the picture that it is tested on. Games begin
alike and stand still, so that a split by episodes alone leaves many such pictures in two parts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations, are_images, split_keys

log = logging.getLogger(__name__)

Array = NDArray[Any]

#: pictures are near each other if no pixel differs by more than this, in grey levels of 255
GREY_LEVELS = 2.0
#: vectors are equal if no feature differs by more than this share of its largest magnitude
ROUNDING = 1e-6
#: share of the states that is left out silently, with a line of level INFO
NOTABLE = 0.1
#: number of slabs of a frame whose lowest and highest values are compared first
SLABS = 196
#: units of what may differ by which summaries may, which are rounded; the pixels decide
SLACK = 1.2
#: number of states that are compared at once
CHUNK = 256


class Stacks(Protocol):
    """States whose observations are stacks of frames, as :class:`sb3_explain.StateDataset` has."""

    n_duplicates: int

    @property
    def episode(self) -> Array:
        """(n,) number of each state's episode."""

    def observations(self, positions: Any) -> Observations:
        """Return stacked observations (B, ...)."""

    def stored_by_key(self) -> dict[str, Tensor]:
        """Return what is stored of the states by key."""

    def with_frames(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return a view with other frames."""

    def subset(self, positions: Any) -> Self:
        """Return a view of some states."""


S = TypeVar("S", bound=Stacks)


def find_duplicates(states: Stacks, train: Array, others: Array) -> NDArray[np.bool_]:
    """Find the states whose stack is that of a training state, or hardly differs from it.

    The lowest and highest values of each frame's slabs differ by no more than its pixels do, so
    that these few numbers rule out nearly all pairs; the others are compared pixel by pixel.

    :param states: all states
    :param train: positions of the training states
    :param others: (n,) positions of the states to judge
    :return: (n,) whether some training state is within :data:`GREY_LEVELS` of the state in every
        pixel, and within :data:`ROUNDING` in every feature of a vector
    """
    near = {key: find_tolerance(stored) for key, stored in states.stored_by_key().items()}
    summaries = states.with_frames(summarize)
    known, asked = (_flatten(summaries, at, near) for at in (train, others))
    usual = np.median(known[:: max(1, len(known) // 1000)], axis=0)
    by_number = np.ascontiguousarray(known.T)
    found = np.zeros(len(others), dtype=bool)
    for i, row in enumerate(asked):
        # first the numbers by which the state stands out, which few training states share
        telling = np.argsort(-np.abs(row - usual), kind="stable")[:16]
        left = np.arange(len(train))
        for number in telling:
            left = left[np.abs(by_number[number, left] - row[number]) <= SLACK]
        distances = np.abs(known[left] - row).max(axis=1, initial=0)
        left = left[np.argsort(distances, kind="stable")][: int((distances <= SLACK).sum())]
        found[i] = any(
            _are_near(states, others[i], train[some], near)
            for some in np.split(left, range(8, len(left), CHUNK))
            if len(some)
        )
    return found


def drop_duplicates(states: S, parts: list[NDArray[np.int64]]) -> tuple[S, ...]:
    """Leave out of all parts but the first what is in the first already.

    :param states: all states
    :param parts: positions of each part's states; the first are those to learn from
    :return: a view for each part, whose ``n_duplicates`` says how many were left out
    :raises ExplainError: if nothing stays of a part
    """
    views = [states.subset(parts[0])]
    for part in parts[1:]:
        twice = find_duplicates(states, parts[0], part)
        views.append(states.subset(part[~twice]))
        views[-1].n_duplicates = int(twice.sum())
        if twice.all():
            raise ExplainError(
                f"all {len(part)} states of a part (of {len(np.unique(states.episode[part]))} "
                "episode(s)) are in the training part, too: collect more episodes, from other "
                "starts or with behavior='epsilon', or keep them by drop_duplicates=False"
            )
    left_out = [view.n_duplicates for view in views[1:]]
    if any(left_out):
        many = sum(left_out) > NOTABLE * sum(map(len, parts[1:]))
        log.log(
            logging.WARNING if many else logging.INFO,
            "%s of %s states are left out of the parts beside the training part, which has them",
            " + ".join(map(str, left_out)),
            " + ".join(str(len(part)) for part in parts[1:]),
        )
    return tuple(views)


def find_tolerance(stored: Tensor) -> Array:
    """Find by how much what stands under a key may differ: one number, or one for each feature.

    :param stored: (N, ...) frames
    """
    if stored.dtype == torch.uint8:
        return np.array([GREY_LEVELS if are_images(stored) else 0.0])
    if are_images(stored):
        extent = float(stored.max()) - float(stored.min())
        return np.array([GREY_LEVELS * extent / 255])
    tolerances: Array = ROUNDING * np.abs(_flat(stored)).max(axis=0)
    return tolerances


def summarize(stored: Tensor) -> Tensor:
    """Return the lowest and highest values of slabs (N, 2, S) of pictures; vectors stay.

    Slab j are the pixels j, j + S, j + 2 S and so on of the flat picture.

    :param stored: (N, ...) frames
    """
    if not are_images(stored):
        return stored
    flat = stored.flatten(1)
    n_slabs = min(SLABS, flat.shape[1])
    whole = flat.shape[1] // n_slabs * n_slabs  # the few pixels left over are compared later
    parts = torch.split(flat[:, :whole], CHUNK)
    pairs = [part.reshape(len(part), -1, n_slabs).aminmax(dim=1) for part in parts]
    return torch.cat([torch.stack([low, high], dim=1) for low, high in pairs])


def _flatten(summaries: Stacks, positions: Array, near: Mapping[str, Array]) -> NDArray[np.float32]:
    """Stacked summaries (n, D) in units of what may differ, all keys side by side."""
    rows = [
        np.concatenate(
            [_in_units(observed, near[key]) for key, observed in split_keys(observations).items()],
            axis=1,
        )
        for observations in _read(summaries, positions)
    ]
    joined: NDArray[np.float32] = np.concatenate(rows)
    return joined


def _in_units(observed: Tensor, near: Array) -> Array:
    """Values (n, D) divided by what they may differ by; equal values stay equal where that is 0."""
    values = _flat(observed)
    tolerance = np.tile(near, values.shape[1] // len(near))
    return (values / np.where(tolerance > 0, tolerance, 0.5)).astype(np.float32)


def _are_near(states: Stacks, position: int, train: Array, near: Mapping[str, Array]) -> bool:
    """Tell whether a state is near one of some training states, pixel by pixel."""
    own, others = (split_keys(states.observations(at)) for at in ([position], train))
    fits = np.ones(len(train), dtype=bool)
    for key, observed in others.items():
        value, known = _flat(own[key]), _flat(observed)
        tolerance = np.tile(near[key], value.shape[1] // len(near[key]))
        # a rounding error of the summaries' units shall not part what is near
        fits &= (np.abs(known - value) <= tolerance * (1 + 1e-6)).all(axis=1)
    return bool(fits.any())


def _read(states: Stacks, positions: Array) -> Iterator[Any]:
    for some in np.split(positions, range(CHUNK, len(positions), CHUNK)):
        yield states.observations(some)


def _flat(observed: Tensor) -> Array:
    flat: Array = observed.reshape(len(observed), -1).double().numpy()
    return flat
