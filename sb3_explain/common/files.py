"""Atomic files and folders: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, and rename it when the block ends without error.

    What processes that are gone have left of the same file is then deleted.

    :param path: path of the finished file
    :raises ExplainError: if the disk is full, the folder cannot be written, or something that is no
        file is in the file's place
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing_to(path):
        require_file_or_nothing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
            clear_left_behind(path)
        finally:
            temporary.unlink(missing_ok=True)


def require_file_or_nothing(path: Path) -> None:
    """Check that a file can be written to a path: there is one, or nothing yet.

    :raises ExplainError: if there is a folder, a pipe or the like
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe, socket or device"
        raise ExplainError(f"{path} is {kind}, not a file: move it away, or choose another folder")


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder, which replaces ``path`` when the block ends without error.

    An earlier folder is renamed first, and deleted last: no system can exchange two folders at
    once everywhere. A process that is killed between the two renames leaves both whole, as
    ``.NAME.PID.old.tmp`` and ``.NAME.PID.tmp``, and none at ``path``; the next one that writes to
    ``path`` deletes them.

    :param path: path of the finished folder
    :raises ExplainError: if the disk is full, or the folder cannot be written
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    earlier = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    with writing_to(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for written in temporary.iterdir():
                with written.open("rb") as file:
                    os.fsync(file.fileno())
            if path.is_dir() and not path.is_symlink():
                path.rename(earlier)
            temporary.rename(path)
            clear_left_behind(path)
        finally:
            if earlier.exists() and not path.exists():
                earlier.rename(path)
            for left in (temporary, earlier):
                shutil.rmtree(left, ignore_errors=True)


def clear_temporary(folder: Path) -> None:
    """Delete temporary files that killed processes left in a folder; no other may be writing."""
    for left in folder.glob(".*.tmp"):
        _delete(left)


def clear_left_behind(path: Path) -> None:
    """Delete temporary files of a path that processes left which are gone.

    :param path: path of the file or folder that they were to become
    """
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d{{1,9}})(\.old)?\.tmp")
    found = [(left, pattern.fullmatch(left.name)) for left in path.parent.iterdir()]
    for left, process in found:
        if process is not None and not _is_running(int(process[1])):
            with contextlib.suppress(OSError):  # what was to be written is written
                _delete(left)


def _is_running(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn every error of a write, such as a full disk or a read-only folder, into one line.

    :param path: path that the block writes, for the error message
    :raises ExplainError: in place of the ``OSError`` of a failed write
    """
    try:
        yield
    except (ConnectionError, Timeout):  # of a pipe or a lock, which is no write to a folder
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExplainError(
                f"the disk is full: {path} was not written; what was complete before is kept, "
                "free some space and run the same command again"
            ) from error
        reason = error.strerror or one_line(error)
        raise ExplainError(f"{path} cannot be written ({reason}): choose another folder") from error


def write_json(path: str | Path, data: Any) -> None:
    """Write plain data as JSON, atomically; NaN and infinity become ``null``."""
    write_text(path, json.dumps(_finite(data), indent=2, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes that write to it; it is created if it is missing.

    If the block is refused before it adds anything to the folder, the lock's file goes, and each
    folder that was created for it.

    :param folder: folder that the block writes to
    :raises ExplainError: if another process has locked the folder
    """
    with writing_to(folder):
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        was_locked = (folder / ".lock").exists()
        folder.mkdir(parents=True, exist_ok=True)
        before = {each.name for each in folder.iterdir()}
    locked = folder / ".lock"
    require_file_or_nothing(locked)
    if locked.is_symlink():  # the file that it leads to would be emptied
        raise ExplainError(f"{locked} is a link: delete it")
    lock = FileLock(locked, timeout=0)
    try:
        with writing_to(folder):
            lock.acquire()
    except Timeout as error:
        raise ExplainError(f"another process is writing into {folder}") from error
    try:
        yield
    except ExplainError:
        if not was_locked and {each.name for each in folder.iterdir()} <= {*before, ".lock"}:
            with contextlib.suppress(OSError):  # some systems keep a file that is open
                locked.unlink()
                for each in missing:
                    each.rmdir()
        raise
    finally:
        lock.release()
