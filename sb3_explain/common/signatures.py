"""Which arguments a class takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from sb3_explain.common.errors import require_known

P = ParamSpec("P")
R = TypeVar("R")

OTHERS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def argument_names(made: type) -> set[str]:
    """Names of the arguments that a class takes, also those that it hands on to its base."""
    names: set[str] = set()
    for base in made.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        names |= {name for name, p in parameters.items() if p.kind not in OTHERS}
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            break
    return names - {"self"}


def require_arguments(made: type, base: type, given: Mapping[str, Any]) -> None:
    """Stop where a class has no argument of a name.

    :param made: the class of the instance
    :param base: the class of it that is given the arguments, by a user or a class derived from it
    :param given: arguments by name
    :raises ExplainError: the nearest is suggested
    """
    names = argument_names(made) | argument_names(base)
    known = {name for name in names if not name.startswith("_")}
    require_known(f"argument of {made.__name__}", given, known)


def takes_any(function: Callable[..., Any]) -> bool:
    """Whether a function takes arguments of any name (``**kwargs``)."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def check_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: an argument that does not exist is refused in one line, with the nearest name.

    :param function: without ``**kwargs``
    :raises ExplainError: when the function is called with an argument that it does not have
    """
    known = set(inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        require_known(f"argument of {function.__name__}", kwargs, known)
        return function(*args, **kwargs)

    return checked
