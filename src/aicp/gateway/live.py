"""The connections that are open."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Connection(Protocol):
    """A client's connection, as the process that ends looks at it."""

    @property
    def only(self) -> str | None:
        """The one model that is served at the listener where it came in; None: all of them."""
        ...

    def leave(self) -> None:
        """The next request's answer says that it is the last one; without a next request it ends in a while."""
        ...

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
        self.leaving = False
        """Another process has taken over: a connection that still comes here is to leave, too."""
