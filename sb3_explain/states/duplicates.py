"""States of a part of the data that are the same as training states, or hardly differ from one.

An explainer that has learned from a state has seen the picture that it is tested on. Games begin
alike and stand still, so that a split by episodes alone leaves many such pictures in two parts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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
GRAY_LEVELS = 2.0
#: vectors are equal if no feature differs by more than this share of its largest magnitude, which
#: pictures of floats may differ by besides
ROUNDING = 1e-6
#: share of the states that is left out silently, with a line of level INFO
NOTABLE = 0.1
#: number of pixels by which two pictures are compared before the whole of them is
LANDMARKS = 64
#: where these are parted, so that few are looked up in many states
STAGES = (1, 2, 4, 8, 16, 32)
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

    def subset(self, positions: Any) -> Self:
        """Return a view of some states."""


S = TypeVar("S", bound=Stacks)


def find_duplicates(states: Stacks, train: Array, others: Array) -> NDArray[np.bool_]:
    """Find the states whose stack is that of a training state, or hardly differs from it.

    The newest frames are compared first, at the landmarks of either: some of the pixels in which a
    frame stands out. They rule out nearly all pairs; of the others whole stacks are compared.

    :param states: all states
    :param train: positions of the training states
    :param others: (n,) positions of the states to judge
    :return: (n,) whether some training state is within :data:`GRAY_LEVELS` of the state in every
        pixel, and within :data:`ROUNDING` in every feature of a vector
    """
    stored = states.stored_by_key()
    near = {key: find_tolerance(frames) for key, frames in stored.items()}
    key = max(stored, key=lambda name: stored[name][0].numel())
    frames = _flat(stored[key])
    tolerance = np.broadcast_to(near[key], frames.shape[1:])
    landmarks = find_landmarks(frames, tolerance)
    found = np.zeros(len(others), dtype=bool)
    for i, position in enumerate(others):
        own, left = _wide(frames[position]), train
        for at in np.split(landmarks[position], STAGES):
            distances = np.abs(_wide(frames[left[:, None], at]) - own[at])
            left = left[(distances <= tolerance[at]).all(axis=1)]
        theirs = landmarks[left]
        distances = np.abs(_wide(frames[left[:, None], theirs]) - own[theirs])
        left = left[(distances <= tolerance[theirs]).all(axis=1)]
        found[i] = any(
            _are_near(states, position, some, near)
            for some in np.split(left, range(8, len(left), CHUNK))
            if len(some)
        )
    return found


def find_landmarks(frames: Array, tolerance: Array) -> NDArray[np.int64]:
    """Find pixels (N, L) of frames (N, D) that differ from the usual frame, spread at random.

    :param frames: (N, D)
    :param tolerance: (D,) by how much pixels may differ
    """
    n_pixels = frames.shape[1]
    if n_pixels <= LANDMARKS:
        return np.tile(np.arange(n_pixels), (len(frames), 1))
    usual = np.median(frames[:: max(1, len(frames) // 200)], axis=0)
    lot = np.random.default_rng(0).random(n_pixels)
    parts = []
    for part in np.split(frames, range(CHUNK, len(frames), CHUNK)):
        order = (np.abs(part - usual) <= 2 * tolerance) + lot  # those that differ come first
        some = np.argpartition(order, LANDMARKS)[:, :LANDMARKS]
        ranked = np.take_along_axis(order, some, axis=1).argsort(axis=1)
        parts.append(np.take_along_axis(some, ranked, axis=1))
    return np.concatenate(parts)


def leave_out(states: Stacks, parts: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Leave out of all parts but the first what is in the first already.

    :param states: all states
    :param parts: positions of each part's states; the first are those to learn from
    :return: the positions that stay
    """
    return [parts[0], *(part[~find_duplicates(states, parts[0], part)] for part in parts[1:])]


def show_parts(
    states: S,
    parts: list[NDArray[np.int64]],
    left: list[NDArray[np.int64]],
    *,
    keep: bool = False,
) -> tuple[S, ...]:
    """Return a view for each part, and log how many states were left out of the parts.

    :param states: all states
    :param parts: positions of each part's states
    :param left: positions of those that stay
    :param keep: whether a part of which nothing stays has all its states, with a warning
    :return: views of those, whose ``n_duplicates`` says how many were left out
    :raises ExplainError: if nothing stays of a part, unless ``keep``
    """
    views = []
    for name, part, some in zip(name_parts(len(parts)), parts, left, strict=True):
        if not len(some):
            seen = (
                f"all {len(part)} states of {name} (of {len(np.unique(states.episode[part]))} "
                "episode(s)) are in the training part, too"
            )
            if not keep:
                raise ExplainError(
                    f"{seen}: collect more episodes, from other starts or with behavior='epsilon', "
                    "or keep them by drop_duplicates=False"
                )
            log.warning("%s: it has them all the same, and tells nothing of states not seen", seen)
            some = part
        views.append(states.subset(some))
        views[-1].n_duplicates = len(part) - len(some)
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


def name_parts(n: int) -> Sequence[str]:
    """Name the parts of a split, as far as their number tells what they are for."""
    if n == 3:
        return ("the training part", "the validation part", "the test part")
    return [f"part {number}" for number in range(1, n + 1)]


def find_tolerance(stored: Tensor) -> Array:
    """Find by how much what stands under a key may differ: one number, or one for each feature.

    :param stored: (N, ...) frames
    """
    if stored.dtype == torch.uint8:
        return np.array([GRAY_LEVELS if are_images(stored) else 0.0])
    if are_images(stored):
        extent = float(stored.max()) - float(stored.min())
        return np.array([(GRAY_LEVELS / 255 + ROUNDING) * extent])
    tolerances: Array = ROUNDING * np.abs(_wide(_flat(stored))).max(axis=0)
    return tolerances


def _are_near(states: Stacks, position: int, train: Array, near: Mapping[str, Array]) -> bool:
    """Tell whether a state is near one of some training states, pixel by pixel."""
    own, others = (split_keys(states.observations(at)) for at in ([position], train))
    fits = np.ones(len(train), dtype=bool)
    for key, observed in others.items():
        value, known = _flat(own[key]), _flat(observed)
        tolerance = np.tile(near[key], value.shape[1] // len(near[key]))
        fits &= (np.abs(_wide(known) - _wide(value)) <= tolerance).all(axis=1)
    return bool(fits.any())


def _flat(observed: Tensor) -> Array:
    flat: Array = observed.reshape(len(observed), -1).numpy()
    return flat


def _wide(values: Array) -> Array:
    """Numbers whose differences are exact, for bytes in as little memory as that takes."""
    return values.astype(np.int16 if values.dtype == np.uint8 else np.float64)
