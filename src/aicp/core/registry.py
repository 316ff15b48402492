"""Drivers found by file name: one file in a family's folder, or an entry point of the same dotted name."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from aicp.core.errors import InvalidError

T = TypeVar("T")


class Registry(Generic[T]):
    """The drivers of one family, e.g. `Registry[Engine]("aicp.engines")`; a driver's module ends in `driver = ...`.

    Modules are imported only when asked for, so an absent vendor library never costs a start.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._names: list[str] | None = None
        self._loaded: dict[str, T] = {}

    def names(self) -> list[str]:
        """All driver names, built-in and installed by others, sorted; those that are there when first asked."""
        if self._names is None:
            # looked up once: reading the entry points of everything installed takes some 20 ms
            self._names = self._find_names()
        return list(self._names)

    def get(self, name: str) -> T:
        """The driver `name`. Raises InvalidError that lists the known names."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _find_names(self) -> list[str]:
        module = importlib.import_module(self._package)
        builtin = {
            info.name
            for info in pkgutil.iter_modules(module.__path__)
            if info.name != "base" and not info.name.startswith("_")
        }
        return sorted(builtin | {point.name for point in entry_points(group=self._package)})

    def _load(self, name: str) -> T:
        known = self.names()
        if name not in known:
            family = self._package.rsplit(".", 1)[-1]
            raise InvalidError(f"There is no driver {name!r} in {family}.", hint=f"Known: {', '.join(known)}.")
        for point in entry_points(group=self._package):
            if point.name == name:
                return point.load()
        return importlib.import_module(f"{self._package}.{name}").driver
