"""A memory-mapped file of frames: first a tag for each frame, then the frames themselves."""

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
    """A file of frames, each with a tag that identifies the write that put it there.

    :param path: path of the file, which exists
    :param shape: (n_envs, n_rows, n_bytes) of the frames, one byte a pixel and channel
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        offset = count_tag_bytes(shape)
        #: (n_envs, n_rows) tags; 0 where no frame was ever written
        self.tags: NDArray[np.int64] = np.memmap(path, np.int64, "r+", shape=shape[:2])
        #: (n_envs, n_rows, n_bytes) flattened frames
        self.frames: NDArray[np.uint8] = np.memmap(path, np.uint8, "r+", offset, shape)

    @classmethod
    def make(cls, path: Path, shape: tuple[int, int, int]) -> FrameFile:
        """Create a new file and reserve all of its space on the disk.

        :param path: path of the file; processes that have an existing file open keep the old one
        :param shape: (n_envs, n_rows, n_bytes) of the frames
        :raises ExplainError: if the disk has too little free space
        """
        n_bytes = count_tag_bytes(shape) + int(np.prod(shape))
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
        """Open a file that :meth:`make` created.

        :param path: path of the file
        :param shape: (n_envs, n_rows, n_bytes) of the frames
        :raises ExplainError: if the file is missing, or has another size
        """
        if not path.exists():
            raise ExplainError(f"the replay buffer's frames are missing: {path}")
        if path.stat().st_size != count_tag_bytes(shape) + int(np.prod(shape)):
            raise ExplainError(f"{path} is damaged, or holds frames of a buffer of another size")
        return cls(path, shape)


def count_tag_bytes(shape: tuple[int, int, int]) -> int:
    """Count the bytes that the tags take in the file, rounded up to whole memory pages."""
    page = mmap.ALLOCATIONGRANULARITY
    return -(-8 * shape[0] * shape[1] // page) * page
