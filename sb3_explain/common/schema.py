"""The form of the package's own JSON files: types, ranges and sizes, checked before use.

A kind is a function of a value and of its place in the file, and raises :class:`MisfitError`. Kinds
are made of one another: ``record({"n_stack": whole(1, 1000)})``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import parse_json, quote, read_bounded

Kind = Callable[[Any, str], None]

#: size limit of a JSON file, in bytes
MAX_BYTES = 16 * 2**20
#: a figure above it is none that the package measures, and overflows where figures are drawn
LARGEST = 1e30
#: number of characters of a text, and of values in a list
LONG = 100_000
#: number of characters of a name in a table
NAME = 1000
#: escapes of halves of a character, which no text file may hold
HALVES = b"\\ud"


class MisfitError(Exception):
    """A value that is not of its kind.

    :param place: place of the value in the file
    :param found: what is there, in words
    :param expected: what should be there, in words
    """

    def __init__(self, place: str, found: str, expected: str) -> None:
        super().__init__(f"{place or 'its content'} is {found}, not {expected}")


def read_document(path: str | Path, kind: Kind, remedy: str, *, limit: int = MAX_BYTES) -> Any:
    """Read a JSON file, and check its form.

    :param path: path of the file
    :param kind: what the file has to hold
    :param remedy: what the user can do about a damaged file, for the error message
    :param limit: size limit in bytes
    :raises ExplainError: if the file is missing, no regular file, too large, or of another form
    """
    try:
        content = read_bounded(Path(path), limit)
    except ExplainError as error:
        raise ExplainError(f"{error} ({remedy})") from error
    return parse_document(content, kind, str(path), remedy)


def parse_document(content: bytes, kind: Kind, source: str, remedy: str) -> Any:
    """Parse JSON, and check its form.

    :param content: the JSON in UTF-8
    :param kind: what it has to hold
    :param source: where it comes from, for the error message
    :param remedy: what the user can do about a damaged file, for the error message
    :raises ExplainError: if it is not JSON, or of another form
    """
    try:
        data = parse_json(content, "its content")
    except ExplainError as error:
        raise ExplainError(f"{source} is damaged ({error}): {remedy}") from error
    require_form(data, kind, source, remedy)
    return replace_halves(data) if HALVES in content.lower() else data


def require_form(data: Any, kind: Kind, source: str, remedy: str) -> None:
    """Check the form of plain data.

    :param data: the data
    :param kind: what they have to be
    :param source: where they come from, for the error message
    :param remedy: what the user can do about a damaged file, for the error message
    :raises ExplainError: if they are of another form
    """
    try:
        require_short_numbers(data)
        kind(data, "")
    except MisfitError as error:
        raise ExplainError(f"{source} is damaged ({error}): {remedy}") from error


def require_short_numbers(data: Any) -> None:
    """Check that whole numbers have at most 64 bits: longer ones are no floats, nor text.

    :raises MisfitError: for a longer one
    """
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, int) and abs(value) >= 2**64:
            raise MisfitError("a number", f"of {value.bit_length()} bits", "one of at most 64")


def replace_halves(data: Any) -> Any:
    """Return plain data in which halves of characters, as names of files have, are escapes."""
    if isinstance(data, dict):
        return {replace_halves(key): replace_halves(value) for key, value in data.items()}
    if isinstance(data, list):
        return [replace_halves(value) for value in data]
    return data.encode("utf-8", "backslashreplace").decode() if isinstance(data, str) else data


def anything(value: Any, place: str) -> None:
    """Any plain data."""


def flag(value: Any, place: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise MisfitError(place, quote(value), "true or false")


def whole(low: int = 0, high: int = 2**63 - 1) -> Kind:
    """A whole number from ``low`` to ``high``."""

    def check(value: Any, place: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise MisfitError(place, quote(value), f"a whole number from {low} to {high}")

    return check


def number(low: float = -LARGEST, high: float = LARGEST, *, finite: bool = True) -> Kind:
    """A number from ``low`` to ``high``; NaN and infinities too where it need not be finite."""
    expected = "a number" if low == -LARGEST else f"a number from {low} to {high}"

    def check(value: Any, place: str) -> None:
        real = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not real or not (low <= value <= high or (not finite and not math.isfinite(value))):
            raise MisfitError(place, quote(value), expected)

    return check


def text(longest: int = LONG) -> Kind:
    """A text of at most ``longest`` characters."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or len(value) > longest:
            raise MisfitError(place, quote(value), f"a text of at most {longest} characters")

    return check


def exactly(expected: Any) -> Kind:
    """One value."""

    def check(value: Any, place: str) -> None:
        if value != expected or type(value) is not type(expected):
            raise MisfitError(place, quote(value), repr(expected))

    return check


def optional(kind: Kind) -> Kind:
    """A kind, or null."""

    def check(value: Any, place: str) -> None:
        if value is not None:
            kind(value, place)

    return check


def array(kind: Kind, shortest: int = 0, longest: int = LONG) -> Kind:
    """A list of ``shortest`` to ``longest`` values of one kind."""
    length = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list) or not shortest <= len(value) <= longest:
            raise MisfitError(place, quote(value), f"a list of {length}")
        for position, item in enumerate(value):
            kind(item, f"{place}[{position}]")

    return check


def row(*kinds: Kind) -> Kind:
    """A list with one value of each of these kinds, in order."""
    same_length = array(anything, len(kinds), len(kinds))

    def check(value: Any, place: str) -> None:
        same_length(value, place)
        for position, (kind, item) in enumerate(zip(kinds, value, strict=True)):
            kind(item, f"{place}[{position}]")

    return check


def one_of(*texts: str) -> Kind:
    """One of some texts."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or value not in texts:
            raise MisfitError(place, quote(value), f"one of {', '.join(texts)}")

    return check


def table(kind: Kind, longest: int = LONG) -> Kind:
    """A dict of any printable names of at most :data:`NAME` letters, and values of one kind."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict) or len(value) > longest:
            raise MisfitError(place, quote(value), f"a dict of at most {longest}")
        for name, item in value.items():
            if len(name) > NAME or not name.isprintable():
                raise MisfitError(_join(place, "a name"), quote(name), "a short and printable one")
            kind(item, _join(place, name))

    return check


def record(required: Mapping[str, Kind], further: Mapping[str, Kind] | None = None) -> Kind:
    """A dict of known names; other names may hold anything.

    :param required: kinds of the values that have to be there
    :param further: kinds of values that may be absent
    """

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise MisfitError(place, quote(value), "a dict")
        for name, kind in required.items():
            if name not in value:
                raise MisfitError(_join(place, name), "missing", "as it should be")
            kind(value[name], _join(place, name))
        for name, kind in (further or {}).items():
            if name in value:
                kind(value[name], _join(place, name))

    return check


def _join(place: str, name: str) -> str:
    shown = name if len(name) <= 40 and name.isprintable() else quote(name)
    return f"{place}.{shown}" if place else shown
