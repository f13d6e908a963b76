"""The one error class of the package, and the wording that every bad name shares."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sb3_explain.common.renamed import find_new_name

#: the longest message of an error; with what the command line puts before it, 300 characters
MAX_CHARACTERS = 285


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
    return f"{line[: limit - end - 5]} ... {line[-end:]}"


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


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ExplainError:
    """The error for a name that does not exist, with the nearest one that does.

    :param kind: what the name stands for, for example ``"explainer"``
    :param name: the name as the user wrote it
    :param known: every name that would have been right
    """
    names = sorted(known)
    new = find_new_name(name, set(names))
    if new is not None:
        return ExplainError(f"{kind} {name!r} is called {new!r} now")
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    hint = f"; did you mean {by_lower[close[0]]!r}?" if close else ""
    return ExplainError(f"unknown {kind} {name!r}{hint} (known: {', '.join(names) or 'none'})")


def require_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """:raises ExplainError: for the first name that is not known, see :func:`unknown_name`"""
    allowed = set(known)
    for name in names:
        if name not in allowed:
            raise unknown_name(kind, name, allowed)
