"""Tells loops and live views of one process that something changed. A lost ring costs latency, never correctness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """Something about an object changed: its `kind` (model, service, replica, job, node, ...) and its name or id."""

    kind: str
    name: str = ""


class Bell:
    """In-process publish and subscribe. Slow subscribers lose the oldest rings."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[Change], frozenset[str] | None] = {}

    def ring(self, kind: str, name: str = "") -> None:
        """Wakes every subscriber of `kind`. Call from the event loop's thread, after the commit."""
        change = Change(kind, name)
        for queue, kinds in list(self._queues.items()):
            if kinds is None or kind in kinds:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(change)

    @contextmanager
    def subscription(self, *kinds: str) -> Generator[asyncio.Queue[Change]]:
        """A queue of changes of `kinds` (none given: all) for as long as the context lives."""
        queue: asyncio.Queue[Change] = asyncio.Queue(maxsize=1000)
        self._queues[queue] = frozenset(kinds) if kinds else None
        try:
            yield queue
        finally:
            del self._queues[queue]

    async def changes(self, *kinds: str) -> AsyncIterator[Change]:
        """Changes of `kinds`, for ever."""
        with self.subscription(*kinds) as queue:
            while True:
                yield await queue.get()

    @staticmethod
    async def wait(queue: asyncio.Queue[Change], timeout_seconds: float) -> bool:
        """Waits for a ring or the timeout, then empties the queue. True when something rang."""
        # Not wait_for: on Python 3.11 it can swallow a cancellation that meets the result.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await queue.get()
            while not queue.empty():
                queue.get_nowait()
            return True
        return False
