"""What is to be sent, until all that has just arrived is dealt with: then it goes out, one write behind the other.

A write to an idle process wakes it, which costs more than the write itself. When the writes of many connections follow
each other closely, the first one wakes it and the others find it awake. Nothing waits for more to come.

A piece of a stream goes out at once: pieces arrive one by one, and to gather what comes alone costs more than it saves.
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

    __slots__ = ("_flushing", "_waiting")

    def __init__(self) -> None:
        self._flushing = False
        self._waiting: list[tuple[Way, bytes]] = []

    def put(self, way: Way, data: bytes) -> None:
        """Sends `data` when everything that has arrived is dealt with."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((way, data))

    def at_once(self, way: Way, data: bytes) -> None:
        """Sends `data` now, unless something waits: then behind it. Raises what the transport raises."""
        if self._waiting or self._flushing:
            self.put(way, data)
        else:
            way.write(data)

    def flush(self) -> None:
        """Sends what waits, now: to be called before a connection is closed that something may wait for."""
        waiting, self._waiting = self._waiting, []
        outer, self._flushing = self._flushing, True  # a write may lead to another one, which is behind these
        for way, data in waiting:
            try:
                if not way.is_closing():
                    way.write(data)
            except Exception:  # one connection's trouble is not the others'
                log.exception("a connection could not be written to")
        self._flushing = outer
