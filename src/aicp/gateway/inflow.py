"""A request's body on its way to another process: read as fast as that takes it, never held as a whole."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

_HELD_BYTES = 1 << 18


class Inflow:
    """Fed by the client's connection, read by one task. `transport` is paused while more than 256 KiB wait."""

    __slots__ = ("_changed", "_ended", "_held", "_pieces", "_transport", "left")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._changed = asyncio.Event()
        self.left = False
        """Nobody reads it any more; what still comes is thrown away."""

    @property
    def ended(self) -> bool:
        """Whether all of it has come."""
        return self._ended

    def feed(self, piece: bytes) -> None:
        """A piece has come."""
        if self.left:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        self._changed.set()
        if self._held > _HELD_BYTES and not self._transport.is_closing():
            self._transport.pause_reading()

    def end(self) -> None:
        """The last piece has come."""
        self._ended = True
        self._changed.set()

    def leave(self) -> None:
        """Stops reading it."""
        self.left = True
        self._pieces.clear()
        self._resume()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece, until it ends."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                if self._held <= _HELD_BYTES:
                    self._resume()
                yield piece
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
