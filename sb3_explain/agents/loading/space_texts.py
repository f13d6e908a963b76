"""Read spaces from the text that Stable-Baselines3 writes beside their pickles; nothing is run.

gym and gymnasium have written the same space in several ways: ``Box(4,)``, ``Box(-1.0, 1.0, (4,),
float32)``, ``Box([-1. -2.], [1. 2.], (2,), float32)``. One grammar has them all: names, numbers,
strings, and brackets around these, with commas or spaces between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_CHARACTERS = 200_000
MAX_DEPTH = 16

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<more>\.\.\.)
    | (?P<number>[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+|inf\b|nan\b))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<mark>[()\[\]{},:=])
    )\s*""",
    re.VERBOSE,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Call(NamedTuple):
    """A name with what stands in the parentheses behind it; of a bare name, nothing."""

    name: str
    arguments: tuple[Any, ...] = ()


class Pair(NamedTuple):
    """``key: value``, or ``key=value``."""

    key: Any
    value: Any


def read_text(text: str) -> Any:
    """What a text says: numbers, strings, lists, :class:`Call`, :class:`Pair`, or ``...``.

    >>> read_text("Box([-1. -inf], 1, (2,), float32)").arguments[0]
    [-1.0, -inf]

    :param text: the text of a space or an array
    :raises ValueError: if the text is not of this grammar, too long or nested too deep
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a text of {len(text)} characters")
    return _Reader(_split(text)).read_whole()


def _split(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"{text[position : position + 20]!r} is no part of a space")
        yield str(match.lastgroup), match[str(match.lastgroup)]
        position = match.end()


class _Reader:
    """Reads tokens with one of them in advance."""

    def __init__(self, tokens: Iterator[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.step()

    def step(self) -> None:
        self.kind, self.token = next(self.tokens, ("end", ""))

    def at(self, mark: str) -> bool:
        return self.kind == "mark" and self.token == mark

    def read_whole(self) -> Any:
        value = self.read_value(0)
        if self.kind != "end":
            raise ValueError(f"{self.token!r} after the end")
        return value

    def read_value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        kind, token = self.kind, self.token
        self.step()
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if kind == "more":
            return ...
        if kind == "number":
            whole = re.fullmatch(r"[+-]?\d{1,19}", token)
            return int(token) if whole else float(token)
        if kind == "name":
            if token in ("True", "False"):
                return token == "True"
            if not self.at("("):
                return Call(token)
            self.step()
            return Call(token, tuple(self.read_members("(", depth)))
        if kind == "mark" and token in _CLOSING:
            return self.read_members(token, depth)
        raise ValueError(f"{token!r} where a value should stand")

    def read_members(self, opening: str, depth: int) -> list[Any]:
        """What stands in brackets, after the opening one."""
        members: list[Any] = []
        while not self.at(_CLOSING[opening]):
            value = self.read_value(depth + 1)
            if self.at(":") or self.at("="):
                self.step()
                value = Pair(value, self.read_value(depth + 1))
            members.append(value)
            if self.at(","):
                self.step()
        self.step()
        return members
