"""The one error class of the package, and the wording that every bad name shares."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from sb3_explain.common.renamed import find_new_name

#: the longest message of an error; with what the command line puts before it, 300 characters
MAX_CHARACTERS = 285
#: number of characters of the longest word that no message is cut within
WORD = 40
#: how alike two names are of which one may be meant by the other, as difflib measures it in [0, 1]
CLOSE = 0.6


def make_printable(text: str, limit: int = MAX_CHARACTERS) -> str:
    """A text as one line of printable characters, which no file can make longer.

    :param text: any text; it may hold names and values that come from a file
    :param limit: number of characters to keep; a longer text loses its middle, since its beginning
        says what is wrong, and its end what to do
    """
    # What is cut away is not looked at: it may have millions of characters.
    half = limit * 12
    if len(text) > 2 * half:
        text = f"{text[:half]} ... {text[-half:]}"
    line = " ".join(text.split())
    # Control characters steer terminals, and bytes that are no UTF-8 cannot be written to pages.
    line = "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in line
    )
    if len(line) <= limit:
        return line
    end = limit // 3
    return f"{_end_with_word(line, limit - end - 5)} ... {_begin_with_word(line, end)}"


def _end_with_word(line: str, size: int) -> str:
    """The first characters of a line, at most ``size``; no word is cut unless it is long."""
    start, end = _find_word(line, size)
    return line[:size] if end - start > WORD else line[:start].rstrip()


def _begin_with_word(line: str, size: int) -> str:
    """The last characters of a line, at most ``size``; no word is cut unless it is long."""
    start, end = _find_word(line, len(line) - size)
    return line[-size:] if end - start > WORD else line[end:].lstrip()


def _find_word(line: str, place: int) -> tuple[int, int]:
    """Where the word that holds the characters on both sides of a place begins and ends."""
    start = line.rfind(" ", 0, place) + 1
    end = line.find(" ", place)
    return start, len(line) if end < 0 else end


class ExplainError(Exception):
    """A mistake that a user can mend, with a message of one line.

    The message is made printable and cut to :data:`MAX_CHARACTERS`, whatever it quotes.

    It derives from neither ``ValueError`` nor ``AssertionError``: Optuna, as rl-zoo3 uses it, takes
    those two for a pruned trial and would hide them.

    >>> from sb3_explain import EXPLAINERS, ExplainError
    >>> try:
    ...     EXPLAINERS["rize"]
    ... except ExplainError as error:
    ...     print(str(error).partition(" (")[0])
    unknown explainer 'rize'; did you mean 'rise'?

    :param message: what is wrong, and what to do next
    """

    def __init__(self, message: str) -> None:
        super().__init__(make_printable(message))


class UnknownNameError(ExplainError):
    """A name that does not exist.

    :param message: what is wrong, and what to do next
    :param name: the name as the user wrote it
    :param known: every name that would have been right
    """

    def __init__(self, message: str, name: str, known: Iterable[str]) -> None:
        super().__init__(message)
        self.name, self.known = name, frozenset(known)


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ExplainError:
    """The error for a name that does not exist, with the nearest one if one is near.

    :param kind: what the name stands for, for example ``"explainer"``
    :param name: the name as the user wrote it
    :param known: every name that would have been right
    """
    names = sorted(known)
    new = find_new_name(name, set(names))
    if new is not None:
        return ExplainError(f"{kind} {name!r} is called {new!r} now")
    close = find_close_name(str(name), names)
    hint = f"; did you mean {close!r}?" if close is not None else ""
    if close is not None and str(name).lower() == close.lower():
        hint += " (its case differs)"
    elif close is not None and str(name).lower().split() == close.lower().split():
        hint += " (its spaces differ)"  # several are printed as one
    said = f"unknown {kind} {name!r}{hint} (known: "
    listed = join_names(names, MAX_CHARACTERS - len(said) - 1) or "none"
    return UnknownNameError(f"{said}{listed})", str(name), names)


def find_close_name(name: str, known: Iterable[str]) -> str | None:
    """The name that a user may have meant; ``None`` if none is near.

    >>> from sb3_explain.common.errors import find_close_name
    >>> names = ["stalder", "kernel_shap", "rise"]
    >>> [find_close_name(name, names) for name in ("rize", "shap", "saliency")]
    ['rise', 'kernel_shap', None]

    :param name: the name as the user wrote it
    :param known: every name that would have been right
    """
    by_lower = {each.lower(): each for each in known}
    text = name.lower()
    close = difflib.get_close_matches(text, by_lower, n=1, cutoff=CLOSE)
    if not close and len(text) >= 3:  # a part of it, or more than it
        parts = [each for each in by_lower if len(each) >= 3 and (text in each or each in text)]
        close = difflib.get_close_matches(text, parts, n=1, cutoff=0)
    return by_lower[close[0]] if close else None


def join_names(names: Sequence[str], room: int) -> str:
    """Names with commas between them, as many as there is room for, and how many are left out.

    >>> from sb3_explain.common.errors import join_names
    >>> join_names(["left", "right", "up"], 20), join_names(["left", "right", "down", "up"], 20)
    ('left, right, up', 'left and 3 more')

    :param names: the names
    :param room: largest number of characters
    """
    for n in range(len(names), 0, -1):
        left_out = f" and {len(names) - n} more" if n < len(names) else ""
        joined = ", ".join(names[:n]) + left_out
        if len(joined) <= room:
            return joined
    return ", ".join(names)


def require_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """:raises ExplainError: for the first name that is not known, see :func:`unknown_name`"""
    allowed = set(known)
    for name in names:
        if name not in allowed:
            raise unknown_name(kind, name, allowed)
