"""Read the opcodes of a pickle as data: nothing is imported, built or called.

``pickletools.genops`` names the opcodes; the small machine here has a stack and a memo as pickle
protocols 0 to 5 describe them. Where an unpickler would import a name, it pushes a
:class:`Symbol`; where an unpickler would call one, a :class:`Record` of that call.
"""

from __future__ import annotations

import dataclasses
import io
import pickletools
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

MAX_OPCODES = 200_000


@dataclasses.dataclass(frozen=True)
class Symbol:
    """A global name that an unpickler would import.

    :param module: dotted name of the module
    :param name: name in the module
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False, repr=False)
class Record:
    """An object that an unpickler would have made.

    :param callee: function or class that would have been called
    :param arguments: arguments of that call
    :param state: attributes that would have been set
    :param items: items that would have been set by key
    """

    callee: Any
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class PersistentId:
    """A reference to something outside of the pickle, such as the storage of a tensor.

    :param value: what the pickle says of it
    """

    value: Any


class DamagedPickleError(Exception):
    """Raised for bytes that are no pickle, or that use opcodes that are not read here."""


def read_records(content: bytes | io.BytesIO) -> tuple[Any, set[Symbol]]:
    """The object in a pickle, as plain data, symbols and records; and all symbols in it.

    :param content: bytes of a whole pickle, or a stream, which is left behind the pickle's end
    :raises DamagedPickleError: if the pickle is truncated, malformed or too long
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():  # of a backslash in a string, beside the caller's one line
            warnings.simplefilter("ignore")
            for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
                if count > MAX_OPCODES:
                    raise DamagedPickleError(f"more than {MAX_OPCODES} opcodes")
                machine.step(opcode.name, argument)
        return machine.pop(), machine.symbols
    # What malformed opcodes lead to: an empty stack, an unhashable key, a wrong argument.
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedPickleError(
            " ".join(str(error).split())[:100] or type(error).__name__
        ) from error


_MARK = object()

#: opcodes that push their argument
CONSTANTS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
#: opcodes that push a new value
LITERALS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}
#: opcodes that turn all values above the mark into one value
GATHERERS: dict[str, Callable[[list[Any]], Any]] = {
    "LIST": list,
    "TUPLE": tuple,
    # Members are not kept: the hash of a tuple nested deeply enough ends the process.
    "FROZENSET": lambda members: frozenset(),
    "DICT": lambda items: _mapping(items),
}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"PROTO", "FRAME", "STOP"}


def _mapping(items: list[Any]) -> dict[Any, Any]:
    """A dict of alternating keys and values; keys that are not plain data are left out."""
    pairs = zip(items[::2], items[1::2], strict=True)
    return {key: value for key, value in pairs if isinstance(key, str | int | float | bytes)}


class _Machine:
    """The stack and the memo of the pickle protocol."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.symbols: set[Symbol] = set()

    def step(self, name: str, argument: Any) -> None:
        if name in CONSTANTS:
            self.stack.append(argument)
        elif name in LITERALS:
            self.stack.append(LITERALS[name]())
        elif name in GATHERERS:
            self.stack.append(GATHERERS[name](self.pop_mark()))
        elif name in SHORT_TUPLES:
            self.stack.append(tuple(self.pop_many(SHORT_TUPLES[name])))
        elif name not in IGNORED:
            getattr(self, f"op_{name.lower()}", self.refuse)(argument)

    def refuse(self, _: Any) -> NoReturn:
        raise DamagedPickleError("an opcode that no statistics need")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise DamagedPickleError("a mark without its values")
        return value

    def pop_many(self, n: int) -> list[Any]:
        return [self.pop() for _ in range(n)][::-1]

    def pop_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    # --- the stack and the memo ---------------------------------------------------------------

    def op_pop(self, _: Any) -> None:
        self.stack.pop()

    def op_pop_mark(self, _: Any) -> None:
        self.pop_mark()

    def op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    op_binput = op_long_binput = op_put

    def op_get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    op_binget = op_long_binget = op_get

    def op_binpersid(self, _: Any) -> None:
        self.stack.append(PersistentId(self.pop()))

    # --- containers -----------------------------------------------------------------------------

    def op_append(self, _: Any) -> None:
        self.extend([self.pop()])

    def op_appends(self, _: Any) -> None:
        self.extend(self.pop_mark())

    def extend(self, values: list[Any]) -> None:
        # A record of a list keeps none: nothing that is read here is one.
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def op_additems(self, _: Any) -> None:
        self.pop_mark()

    def op_setitem(self, _: Any) -> None:
        self.set_items(self.pop_many(2))

    def op_setitems(self, _: Any) -> None:
        self.set_items(self.pop_mark())

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        mapping = target.items if isinstance(target, Record) else target
        if isinstance(mapping, dict):
            mapping.update(_mapping(items))

    # --- what an unpickler would import and call -----------------------------------------------

    def symbol(self, module: Any, name: Any) -> Symbol:
        if not isinstance(module, str) or not isinstance(name, str):
            raise DamagedPickleError("a global that has no name")
        symbol = Symbol(module, name)
        self.symbols.add(symbol)
        return symbol

    def op_global(self, argument: str) -> None:
        self.stack.append(self.symbol(*argument.split(" ", 1)))

    def op_stack_global(self, _: Any) -> None:
        self.stack.append(self.symbol(*self.pop_many(2)))

    def op_reduce(self, _: Any) -> None:
        callee, arguments = self.pop_many(2)
        self.stack.append(Record(callee, tuple(arguments)))

    op_newobj = op_reduce

    def op_newobj_ex(self, _: Any) -> None:
        callee, arguments, _keywords = self.pop_many(3)
        self.stack.append(Record(callee, tuple(arguments)))

    def op_inst(self, argument: str) -> None:
        self.stack.append(Record(self.symbol(*argument.split(" ", 1)), tuple(self.pop_mark())))

    def op_obj(self, _: Any) -> None:
        callee, *arguments = self.pop_mark()
        self.stack.append(Record(callee, tuple(arguments)))

    def op_build(self, _: Any) -> None:
        state = self.pop()
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state
