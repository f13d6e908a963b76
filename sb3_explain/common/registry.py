"""Registries: classes and functions by name, registered by decorators."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.notebook import read_summary, write_table

T = TypeVar("T")
E = TypeVar("E")


class Registry(Mapping[str, T]):
    """A mapping from a name to what it stands for.

    The first look-up imports every module of ``package``, so that one new file with a decorator is
    all that an addition takes.

    :param kind: what the names stand for, in error messages, for example ``"explainer"``
    :param package: dotted name of the module or package whose modules fill the registry
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._by_name: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._filled = False

    def register(self, name: str, *aliases: str) -> Callable[[E], E]:
        """Decorate a class or function to register it under a name.

        :param name: name under which the class or function is listed
        :param aliases: other names under which it is found
        :raises ExplainError: if another class or function has that name
        """

        def enter(registered: E) -> E:
            if repr(self._by_name.get(name, registered)) != repr(registered):
                raise ExplainError(f"there are two of {self.kind} {name!r}: rename one")
            self._by_name[name] = registered  # type: ignore[assignment]
            self._aliases |= dict.fromkeys(aliases, name)
            return registered

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
        """The class or function that has a name.

        :raises ExplainError: if there is none; the nearest name is suggested
        """
        self._fill()
        name = self._aliases.get(name, name) if isinstance(name, str) else name
        if not isinstance(name, str) or name not in self._by_name:
            raise unknown_name(self.kind, name, self._by_name)
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        self._fill()
        return name in self._by_name or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(sorted(self._by_name))

    def __len__(self) -> int:
        self._fill()
        return len(self._by_name)

    def __repr__(self) -> str:
        """Say what the names stand for, and all names."""
        return f"registry of {self.kind}s: {', '.join(self)}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: each name with the first sentence of its docstring."""
        return write_table((self.kind, ""), [(name, read_summary(self[name])) for name in self])
