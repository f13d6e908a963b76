"""What a file may have imported, started or opened only on the user's word."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote

logger = logging.getLogger(__name__)


def read_names(given: Any, argument: str) -> tuple[str, ...]:
    """The dotted names that the user gives, as a tuple.

    >>> read_names("my_wrappers", "trusted")  # one name, not its letters
    ('my_wrappers',)

    :param given: dotted name, or an iterable of dotted names
    :param argument: name of the argument that they are given for
    :raises ExplainError: if it is neither
    """
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise ExplainError(
            f"{argument}={quote(given)}: give a list of names, for example "
            f"{argument}=['my_wrappers']"
        )
    return tuple(names)


def read_trusted(trusted: Any) -> tuple[str, ...]:
    """The names that the user trusts, as a tuple, see :func:`read_names`."""
    return read_names(trusted, "trusted")


def is_trusted(name: str, trusted: Iterable[str]) -> bool:
    """Whether the user trusts a dotted name: itself, or a package or module that it stands in.

    >>> is_trusted("my_wrappers.rewards.Scaled", ["my_wrappers"])
    True

    :param name: dotted name of a module, class, function or argument
    :param trusted: dotted names that the user trusts
    """
    return any(
        name == allowed or name.startswith(f"{allowed}.") for allowed in read_trusted(trusted)
    )


def check_trusted(
    name: str,
    trusted: Iterable[str],
    what: str,
    allowed: Iterable[str] = (),
    module: str | None = None,
) -> None:
    """Refuse a name that is neither on a list nor trusted; log an import that is only trusted.

    :param name: dotted name of a module, class or function that is about to be imported
    :param trusted: dotted names that the user trusts
    :param what: what the name stands for, for the messages
    :param allowed: names that need no word of the user
    :param module: module that the name stands in, if the name is no module's
    :raises ExplainError: if the name is neither allowed nor trusted
    """
    if name in allowed:
        return
    if not is_trusted(name, trusted):
        raise ExplainError(f"{what} {quote(name)} is unknown and was not imported: {allow(name)}")
    if (module or name) not in sys.modules:
        logger.warning("%s %s is imported, because you trust it", what, name)


def allow(name: str) -> str:
    """The words that say how a name is allowed."""
    return f"if you trust it, give trusted=['{name}']"
