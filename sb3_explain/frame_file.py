"""Frames on the disk, memory-mapped: a page that says whose they are, and then the frames."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sb3_explain.errors import ExplainError


def allocated(
    file: Path, shape: tuple[int, ...], stamp: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Frames of zeros on the disk, and the head of their file: the stamp and counts of rows.

    :param file: a new one takes the place of one that is there, which its own users keep
    :param shape: (n_envs, rows, cells)
    :param stamp: of the buffer
    :raises ExplainError: if the disk has not the space
    """
    n_bytes = head_bytes(shape[0]) + int(np.prod(shape))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with file.open("wb") as made:
        try:
            # else a disk that is too small would kill the process when it is full
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(made.fileno(), 0, n_bytes)
            else:
                made.truncate(n_bytes)
        except OSError as error:
            file.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EFBIG):
                raise
            free = shutil.disk_usage(file.parent).free
            raise ExplainError(
                f"the replay buffer's frames would take {n_bytes / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free in {file.parent}: lower buffer_size, or choose "
                "another disk"
            ) from error
    head = np.memmap(file, np.int64, "r+", shape=(1 + shape[0],))
    head[0] = stamp
    return np.memmap(file, np.uint8, "r+", offset=head_bytes(shape[0]), shape=shape), head


def mapped(
    file: Path, shape: tuple[int, ...], stamp: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What :func:`allocated` made.

    :raises ExplainError: if the file is missing, or is another buffer's
    """
    if not file.exists():
        raise ExplainError(f"the replay buffer's frames are missing: {file}")
    whole = file.stat().st_size == head_bytes(shape[0]) + int(np.prod(shape))
    head = np.memmap(file, np.int64, "r+", shape=(1 + shape[0],)) if whole else None
    if head is None or head[0] != stamp:
        raise ExplainError(
            f"{file} holds the frames of a later replay buffer: give each a file of its own"
        )
    return np.memmap(file, np.uint8, "r+", offset=head_bytes(shape[0]), shape=shape), head


def head_bytes(n_envs: int) -> int:
    """Of the file of frames, whole pages."""
    return -(-8 * (1 + n_envs) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
