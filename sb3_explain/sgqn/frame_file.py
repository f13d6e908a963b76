"""Frames on the disk, memory-mapped: whose each of them is, and then the frames."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError


class FrameFile:
    """A file of frames, each with a tag that tells its writing from any other.

    :param path: of the file
    :param shape: (n_envs, rows, cells) of the frames
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        offset = tag_bytes(shape)
        #: (n_envs, rows) the tags; 0 of a frame that was never written
        self.tags: NDArray[np.int64] = np.memmap(path, np.int64, "r+", shape=shape[:2])
        #: (n_envs, rows, cells) the frames
        self.frames: NDArray[np.uint8] = np.memmap(path, np.uint8, "r+", offset, shape)

    @classmethod
    def make(cls, path: Path, shape: tuple[int, int, int]) -> FrameFile:
        """A new file, all of it on the disk already.

        :param path: whoever uses a file that is there keeps that one
        :raises ExplainError: if the disk has not the space
        """
        n_bytes = tag_bytes(shape) + int(np.prod(shape))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with path.open("wb") as made:
            try:
                # else a disk that is too small would kill the process when it is full
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(made.fileno(), 0, n_bytes)
                else:
                    made.truncate(n_bytes)
            except OSError as error:
                path.unlink(missing_ok=True)
                if error.errno not in (errno.ENOSPC, errno.EFBIG):
                    raise
                free = shutil.disk_usage(path.parent).free
                raise ExplainError(
                    f"the replay buffer's frames would take {n_bytes / 1e9:.1f} GB, and "
                    f"{free / 1e9:.1f} GB are free in {path.parent}: lower buffer_size, or choose "
                    "another disk"
                ) from error
        return cls(path, shape)

    @classmethod
    def open(cls, path: Path, shape: tuple[int, int, int]) -> FrameFile:
        """A file that :meth:`make` made.

        :raises ExplainError: if it is missing, or of another size
        """
        if not path.exists():
            raise ExplainError(f"the replay buffer's frames are missing: {path}")
        if path.stat().st_size != tag_bytes(shape) + int(np.prod(shape)):
            raise ExplainError(f"{path} is damaged, or holds frames of a buffer of another size")
        return cls(path, shape)


def tag_bytes(shape: tuple[int, int, int]) -> int:
    """What the tags take of the file, in whole pages."""
    page = mmap.ALLOCATIONGRANULARITY
    return -(-8 * shape[0] * shape[1] // page) * page
