"""Reading what a stranger wrote: no more of it than is sensible, and quoted in one line."""

from __future__ import annotations

import reprlib
from pathlib import Path

from sb3_explain.common.errors import ExplainError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def quote(text: object) -> str:
    """``repr`` in one line of about a hundred characters."""
    return " ".join(_SHORT.repr(text).split())


def one_line(error: Exception) -> str:
    """The gist of another library's error, which may run over many lines."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes.

    :raises ExplainError: if there is no such file, or it is longer
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
