"""Names and what they stand for, entered by decorators."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from sb3_explain.common.errors import ExplainError, unknown_name

T = TypeVar("T")
E = TypeVar("E")


class Registry(Mapping[str, T]):
    """A mapping from a name to what it stands for.

    The first look-up imports every module of ``package``, so that one new file with a decorator is
    all that an addition takes.

    :param kind: what an entry is, as an error message calls it
    :param package: the home's own ``__name__``: the module or package that fills the registry
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}
        self._filled = False

    def register(self, name: str) -> Callable[[E], E]:
        """Decorator: enter a class or function under ``name``.

        :raises ExplainError: if something else has that name already
        """

        def enter(entry: E) -> E:
            if repr(self._entries.get(name, entry)) != repr(entry):
                raise ExplainError(f"two entries are called {self.kind} {name!r}: rename one")
            self._entries[name] = entry  # type: ignore[assignment]
            return entry

        return enter

    def _fill(self) -> None:
        if self._filled:
            return
        package = importlib.import_module(self.package)
        inside = getattr(package, "__path__", [])
        for module in pkgutil.walk_packages(inside, prefix=f"{self.package}."):
            importlib.import_module(module.name)
        self._filled = True

    def __getitem__(self, name: str) -> T:
        """:raises ExplainError: if nothing has that name; the nearest one is suggested"""
        self._fill()
        if not isinstance(name, str) or name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._fill()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._fill()
        return len(self._entries)
