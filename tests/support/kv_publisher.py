"""A publisher of KV events on a unix socket, as vLLM is one: ZMTP 3 written out by hand, one subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from aicp.gateway.cache_events import Batch

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"


class KvPublisher:
    """Listens at `path` for the time of the block."""

    def __init__(self, path: Path, *, greeting: bytes = _GREETING) -> None:
        self.path, self._greeting = path, greeting
        self.subscribed = asyncio.Event()
        self._number = 0
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._welcome, self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._server.close()

    async def send(self, batch: Batch) -> None:
        """One message, as vLLM sends it."""
        number, self._number = self._number, self._number + 1
        await self.send_raw([b"", number.to_bytes(8, "big"), msgspec.msgpack.encode(batch)])

    async def send_raw(self, parts: Sequence[bytes]) -> None:
        """One message of these parts."""
        assert self._writer is not None
        for place, part in enumerate(parts):
            more = int(place < len(parts) - 1)
            size = bytes((more, len(part))) if len(part) < 256 else bytes((more | 2,)) + len(part).to_bytes(8, "big")
            self._writer.write(size + part)
        await self._writer.drain()

    def skip(self) -> None:
        """A message is lost."""
        self._number += 1

    def close(self) -> None:
        """Ends the connection."""
        if self._writer is not None:
            self._writer.close()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(self._greeting)
        assert (await reader.readexactly(64))[12:16] == b"NULL"
        if self._greeting is not _GREETING:
            return
        writer.write(_READY)
        flags, size = await reader.readexactly(2)
        assert (flags, (await reader.readexactly(size))[:6]) == (4, b"\x05READY")
        assert await reader.readexactly(3) == b"\x00\x01\x01"
        self.subscribed.set()
