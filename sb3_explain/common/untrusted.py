"""Read untrusted files: their sizes are compared with one limit before anything is built."""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from sb3_explain.common.errors import ExplainError, make_printable

#: environment variable that sets the limit of :func:`max_bytes`
LIMIT_NAME = "SB3_EXPLAIN_MAX_BYTES"
#: 64 million weights; reading them takes three times the bytes
DEFAULT_MAX_BYTES = 2**28
#: the deepest nesting of JSON and YAML; Python's own readers of nested data end near 1000
MAX_DEPTH = 100
#: values and names of one JSON document; each takes up to a hundred bytes as an object of Python
MAX_JSON_VALUES = 2_000_000

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


def quote(text: object) -> str:
    """The ``repr`` of a value, cut to one line of about a hundred characters."""
    try:
        return make_printable(_SHORT.repr(text), 120)
    except Exception:  # a number of more digits than Python writes, an object whose repr fails
        return f"<{type(text).__name__}>"


def one_line(error: Exception) -> str:
    """The message of another library's error, cut to one line of at most 160 characters."""
    return make_printable(str(error), 160) or type(error).__name__


def max_bytes() -> int:
    """The number of bytes that one file may have, unpack to, or make in memory.

    It is 256 MiB, or what the environment variable ``SB3_EXPLAIN_MAX_BYTES`` says.

    :raises ExplainError: if the variable is no positive whole number
    """
    text = os.environ.get(LIMIT_NAME, str(DEFAULT_MAX_BYTES))
    if not re.fullmatch(r"\s*0*[1-9]\d{0,17}\s*", text, re.ASCII):
        raise ExplainError(f"{LIMIT_NAME}={quote(text)}: give a number of bytes")
    return int(text)


def require_within_limit(size: int, what: str, *, share: float = 1.0) -> None:
    """Check a size before memory is taken for it.

    :param size: number of bytes that would be read or made
    :param what: what has this size, for the error message
    :param share: the limit as a multiple of :func:`max_bytes`; below 1 for content that takes more
        memory when it is read than it has bytes
    :raises ExplainError: if it is above the limit; the error says how to raise it
    """
    limit = int(share * max_bytes())
    if size > limit:
        raise ExplainError(
            f"{what} would take {size:,} bytes, above the limit of {limit:,}: if that is right, "
            f"set {LIMIT_NAME}={math.ceil(size / share)}"
        )


def require_regular_file(path: str | Path) -> int:
    """Check that a path leads to a regular file; a pipe or a device could be read without end.

    :param path: path of the file
    :return: size of the file in bytes
    :raises ExplainError: if there is no such file, or it is something else
    """
    try:
        status = Path(path).stat()
    except FileNotFoundError as error:
        raise ExplainError(f"{path} does not exist") from error
    # no permission, links in a circle, a name that is too long or holds a null character
    except (OSError, ValueError) as error:
        raise ExplainError(f"{path} cannot be read ({one_line(error)})") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "pipe, socket or device"
        raise ExplainError(f"{path} is not a file: there is a {kind} in its place")
    return status.st_size


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file.

    :param path: path of a regular file
    :param limit: size limit in bytes
    :raises ExplainError: if there is no such file, or it is larger than the limit
    """
    size = require_regular_file(path)
    try:
        with path.open("rb") as file:
            # One more, since a file may grow, or lie where its size is not known.
            content = file.read(limit + 1) if size <= limit else b""
    except OSError as error:
        raise ExplainError(f"{path} cannot be read ({one_line(error)})") from error
    if max(size, len(content)) > limit:
        raise ExplainError(f"{path.name} is larger than {limit} bytes: it is not what it should be")
    return content


def parse_json(content: bytes | bytearray, what: str) -> Any:
    """Plain data from the bytes of a JSON document, whose values are counted before they are made.

    :param content: JSON in UTF-8
    :param what: what the bytes are, for error messages
    :raises ExplainError: if it is not JSON, names a key twice, or is nested or filled too much
    """
    # Each value but the first stands behind one of these; in strings they are counted too.
    values = sum(content.count(mark) for mark in (b",", b":", b"[", b"{"))
    if values > MAX_JSON_VALUES:
        raise ExplainError(f"{what} holds more than {MAX_JSON_VALUES:,} values")
    try:
        data = json.loads(content, object_pairs_hook=_make_object)
    except (ValueError, RecursionError) as error:
        raise ExplainError(f"{what} is not JSON ({one_line(error)})") from error
    if measure_depth(data) > MAX_DEPTH:
        raise ExplainError(f"{what} is nested more than {MAX_DEPTH} levels deep")
    return data


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; which of two equal keys holds would depend on the reader."""
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {quote(twice)} stands there twice")
    return made


def measure_depth(data: Any) -> int:
    """The number of levels of nested lists and dicts; 0 for a single value.

    :param data: plain data without circles
    """
    depth, level = 0, [data]
    while level := [item for item in level if isinstance(item, list | tuple | dict)]:
        depth += 1
        level = [
            value for item in level for value in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
