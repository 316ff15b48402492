"""What is to be sent, until all that has just arrived is dealt with: then it goes out, one write behind the other.

A write to an idle process wakes it, which costs more than the write itself. When the writes of many connections follow
each other closely, the first one wakes it and the others find it awake. Nothing waits for more to come.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Way(Protocol):
    """A transport, as far as it is written to."""

    def is_closing(self) -> bool:
        """What is written now would be lost."""
        ...

    def write(self, data: bytes) -> None:
        """Sends bytes as they are, or keeps them until they can be sent."""
        ...


class Outbox:
    """One of an event loop, for all its connections. What is given to it for one connection keeps its order."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[Way, bytes]] = []

    def put(self, way: Way, data: bytes) -> None:
        """Sends `data` when everything that has arrived is dealt with."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((way, data))

    def flush(self) -> None:
        """Sends what waits, now: to be called before a connection is closed that something may wait for."""
        waiting, self._waiting = self._waiting, []
        for way, data in waiting:
            try:
                if not way.is_closing():
                    way.write(data)
            except Exception:  # one connection's trouble is not the others'
                log.exception("a connection could not be written to")
