"""Which arguments a class takes."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from sb3_explain.common.errors import (
    ExplainError,
    UnknownNameError,
    find_close_name,
    require_known,
    unknown_name,
)
from sb3_explain.common.numbers import LARGEST, require_number, require_whole
from sb3_explain.common.untrusted import quote

P = ParamSpec("P")
R = TypeVar("R")

#: smallest values of whole numbers, by the names of their arguments
SMALLEST = {"seed": 0, "n_states": 1, "n_evaluated": 1, "n_episodes": 1}
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


def require_class(name: str, value: object, kind: type) -> None:
    """Stop where a value is not of the class that is asked for.

    :param name: name of the argument
    :param value: what was given for it
    :param kind: the class, whose ``obtained_by`` says how a user comes by an instance
    :raises ExplainError: if ``value`` is no instance of ``kind``
    """
    if not isinstance(value, kind):
        what = type(value).__name__
        if isinstance(value, type):
            what = f"the class {value.__name__}"
        how = getattr(kind, "obtained_by", "")
        raise ExplainError(
            f"{name} must be of class {kind.__name__}, not {what}{how and ': '}{how}"
        )


def read_instance(name: str, value: Any, kind: type) -> Any:
    """Return what a user gives for an argument as an instance of the class that is asked for.

    :param name: name of the argument
    :param value: what was given for it: an instance, or what the class makes one of
        (its ``from_similar``)
    :param kind: the class
    :raises ExplainError: if it is neither, see :func:`require_class`
    """
    from_similar = getattr(kind, "from_similar", None)
    if from_similar is not None:
        value = from_similar(value)
    require_class(name, value, kind)
    return value


def _list_kinds(hint: Any) -> list[Any]:
    """What an annotation asks for, without ``None``."""
    is_union = get_origin(hint) in (Union, UnionType)
    return [kind for kind in (get_args(hint) if is_union else [hint]) if kind is not type(None)]


def find_own_class(hint: Any) -> type | None:
    """The class of this package that an annotation asks for, alone or beside ``None``.

    :param hint: annotation of an argument
    """
    kinds = _list_kinds(hint)
    own = len(kinds) == 1 and isinstance(kinds[0], type) and kinds[0].__module__[:4] == "sb3_"
    return kinds[0] if own else None


def find_plain_kind(hint: Any) -> Any:
    """What plain value an annotation asks for, alone or beside ``None``: ``None`` if it is another.

    :param hint: annotation of an argument
    :return: ``int``, ``float``, ``list`` of names, ``dict``, or ``Path`` where a text may be given
        as well
    """
    kinds = set(_list_kinds(hint))
    if kinds == {str, Path}:
        return Path
    kind = kinds.pop() if len(kinds) == 1 else None
    if get_origin(kind) is Mapping:
        return dict
    if get_origin(kind) in (Sequence, Iterable) and get_args(kind)[0] in (str, Any):
        return list
    return kind if kind in (int, float) else None


def read_plain(name: str, value: Any, hint: Any) -> Any:
    """Read a number, a path, names or a dict that a user gives for an argument.

    :param name: name of the argument, which may have a smallest value, see :data:`SMALLEST`
    :param value: what was given for it
    :param hint: annotation of the argument
    :raises ExplainError: if it is none
    """
    kind = find_plain_kind(hint)
    if kind is None or (value is None and type(None) in get_args(hint)):
        return value
    if kind is int:
        return require_whole(name, value, SMALLEST.get(name, -LARGEST))
    if kind is float:
        return require_number(name, value)
    if kind is list:
        if isinstance(value, str):  # one name alone
            return [value]
        if not isinstance(value, Iterable):
            raise ExplainError(f"{name}={quote(value)}: give a list")
        return value
    if kind is dict:
        if not isinstance(value, Mapping):
            raise ExplainError(f"{name}={quote(value)}: give a dict")
        return value
    if not isinstance(value, (str, Path)) or "\0" in str(value):
        raise ExplainError(f"{name}={quote(value)}: give a path, as text or pathlib.Path")
    return value


def check_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a call with wrong arguments is refused in one line before anything is done.

    Refused are names that do not exist, with the nearest one; missing arguments, or too many;
    values of another class, where an argument is annotated with a class of this package; and what
    is no number, path, list or dict, where one is annotated. One name may be given for a list of
    names, whole numbers may be written as ``1e3``, and what a class makes an instance of may be
    given for one, as a model for an agent.

    :param function: a public function, or the constructor of a class
    """
    signature = inspect.signature(function)
    known = {n for n, p in signature.parameters.items() if p.kind not in OTHERS}
    open_ended = takes_any(function)
    name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    takes = ", ".join(name for name in signature.parameters if name != "self")

    @functools.cache
    def list_hints() -> dict[str, Any]:
        hints: dict[str, Any] = {}
        for argument, written in function.__annotations__.items():
            alone = types.SimpleNamespace(__annotations__={argument: written})
            # a name that only a type checker imports has no class here
            with contextlib.suppress(NameError):
                hints |= get_type_hints(alone, function.__globals__)
        asked = {n: hint for n, hint in hints.items() if n in known}
        return {
            n: hint for n, hint in asked.items() if find_own_class(hint) or find_plain_kind(hint)
        }

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not open_ended:
            require_known(f"argument of {name}", kwargs, known - {"self"})
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ExplainError(f"{name}: {error}; it is {name}({takes})") from None
        given = bound.arguments
        for argument, hint in list_hints().items():
            if argument not in given or given[argument] is signature.parameters[argument].default:
                continue
            kind = find_own_class(hint)
            if kind is not None:
                given[argument] = read_instance(argument, given[argument], kind)
            else:
                given[argument] = read_plain(argument, given[argument], hint)
        try:
            return function(*bound.args, **bound.kwargs)
        except UnknownNameError as error:
            if not open_ended or error.name not in kwargs or error.name in known:
                raise
            # what this function handed on may have been meant for itself
            every = error.known | (known - {"self"})
            # a class hands on what are its own settings, which are said to be unknown there
            near_none = {None} if function.__name__ == "__init__" else set()
            if find_close_name(error.name, every) in error.known | near_none:
                raise
            raise unknown_name(f"argument of {name}", error.name, every) from None

    return checked
