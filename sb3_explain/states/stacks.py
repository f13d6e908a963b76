"""Frame stacks: which frames an observation consists of, and how they are gathered."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


def index_stacks(starts: Array, n_stack: int, pad: str) -> NDArray[np.int64]:
    """Compute which frames every stack consists of.

    :param starts: (N,) whether the stack was emptied before this frame
    :param n_stack: F, number of frames in a stack
    :param pad: what fills a stack before its first frame: ``"zeros"`` or ``"repeat"``
    :return: (N, F) indices of frames, oldest first; -1 for a frame of zeros
    """
    position = np.arange(len(starts))
    first = np.maximum.accumulate(np.where(starts, position, 0))
    ages = np.arange(n_stack)[::-1]
    indices = position[:, None] - ages
    before = first[:, None] if pad == "repeat" else -1
    return np.where(indices < first[:, None], before, indices)


def gather(frames: Tensor, stacks: Tensor) -> Tensor:
    """Gather stacks (B, F * C, ...) of frames.

    :param frames: (N, C, ...) frames
    :param stacks: (B, F) indices of the frames of each stack; -1 for a frame of zeros
    """
    indices = stacks.flatten()
    picked = frames.index_select(0, indices.clamp_min(0))
    missing = indices < 0
    if missing.any():
        picked[missing] = 0
    if stacks.shape[1] == 1:
        return picked
    return picked.reshape(len(stacks), stacks.shape[1] * frames.shape[1], *frames.shape[2:])
