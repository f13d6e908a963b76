"""Read untrusted files up to a size limit, and quote them in one line."""

from __future__ import annotations

import reprlib
from pathlib import Path

from sb3_explain.common.errors import ExplainError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def quote(text: object) -> str:
    """The ``repr`` of a value, cut to one line of about a hundred characters."""
    return " ".join(_SHORT.repr(text).split())


def one_line(error: Exception) -> str:
    """The message of another library's error, cut to one line of at most 160 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file.

    :param path: path of a regular file
    :param limit: size limit in bytes
    :raises ExplainError: if there is no such file, or it is larger than the limit
    """
    if not path.is_file():
        raise ExplainError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ExplainError(f"{path} cannot be read ({error.strerror})") from error
    if len(content) > limit:
        raise ExplainError(f"{path.name} is larger than {limit} bytes: it is not what it should be")
    return content
