"""Numbers that users give: whole ones and others, as calls and YAML files write them."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote

#: the largest whole number that a file of this package, or an array, can hold
LARGEST = 2**63 - 1


def parse_number(value: Any) -> float:
    """Convert to a float, or to NaN what is not a number; YAML reads ``1e3`` as a string."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return math.nan
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 300 digits
        return math.nan


def require_whole(name: str, value: Any, minimum: int = 1, maximum: int = LARGEST) -> int:
    """Return a whole number, which may be given as a float, as in YAML.

    >>> from sb3_explain.common.numbers import require_whole
    >>> require_whole("n_states", 1e3)
    1000

    :param name: name of the argument, for the message
    :param value: value of the argument
    :param minimum: smallest value allowed
    :param maximum: largest value allowed
    :raises ExplainError: for anything else, such as ``True`` or ``1.5``
    """
    number = _read_whole(value)
    if number is None or not minimum <= number <= maximum:
        bounds = f" of at least {minimum}" if minimum > -LARGEST else ""
        if number is not None and number > maximum:
            bounds = f" of at most {maximum}"
        raise ExplainError(f"{name}={quote(value)}: give a whole number{bounds}")
    return number


def pick(array: NDArray[Any], positions: Any) -> NDArray[Any]:
    """Return the elements of an array at positions that a user gives.

    >>> import numpy as np
    >>> from sb3_explain.common.numbers import pick
    >>> pick(np.array([10, 11, 12]), [2, 0]).tolist()
    [12, 10]

    :param array: (n, ...) array
    :param positions: whole numbers, truth values, or a slice
    :raises ExplainError: for anything else, and for what lies beyond the array
    """
    try:
        where = positions if isinstance(positions, slice) else np.asarray(positions)
        picked: NDArray[Any] = array[where]
    except (IndexError, ValueError):
        raise ExplainError(
            f"positions={quote(positions)}: give whole numbers from 0 to {len(array) - 1}"
        ) from None
    return picked


def _read_whole(value: Any) -> int | None:
    """The whole number that a value is; ``None`` if it is none."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # exact, however large
    except (TypeError, ValueError, RuntimeError):
        given = parse_number(value)
        return int(given) if math.isfinite(given) and given == int(given) else None


def require_number(
    name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf
) -> float:
    """Return a number, which may be given as a text, as in YAML.

    :param name: name of the argument, for the message
    :param value: value of the argument
    :param minimum: smallest value allowed
    :param maximum: largest value allowed
    :raises ExplainError: for anything else, such as NaN
    """
    number = parse_number(value)
    if not minimum <= number <= maximum:  # NaN is in no range
        bounded = f" from {minimum:g} to {maximum:g}" if math.isfinite(minimum) else ""
        raise ExplainError(f"{name}={quote(value)}: give a number{bounded}")
    return number
