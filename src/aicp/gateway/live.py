"""The connections that are open."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Connection(Protocol):
    """A client's connection, as the process that ends looks at it."""

    def drain(self) -> None:
        """The answer under way is the last one."""
        ...

    def cut(self) -> None:
        """Ends now."""
        ...

    def check(self, now: float) -> None:
        """Once a second: what takes too long ends."""
        ...


class Connections(set[Connection]):
    """All open connections; `empty` is set whenever the last one has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.empty = asyncio.Event()
