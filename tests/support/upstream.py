"""A gateway of a few lines, to relay to: knows keys, streams, and sees when its client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Upstream:
    """What it was asked, and how it answers."""

    address: str = ""
    known_keys: set[str] = field(default_factory=set)
    accept_all: bool = False
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answer_type: str = "text/event-stream"
    chunks: list[bytes] = field(default_factory=lambda: [b"data: 1\n\n", b"data: 2\n\n"])
    endless: bool = False
    silent: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def keys(self) -> list[str]:
        """The keys that requests came with, in order."""
        return [headers.get("authorization", "").removeprefix("Bearer ") for _, headers, _ in self.seen]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append((head[0], headers, body))
        self.asked.set()
        if not (self.accept_all or self.keys[-1] in self.known_keys):
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        else:
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.silent:
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {self.answer_type}\r\nX-Secret: inner\r\n".encode())
            writer.write(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            for chunk in self.chunks:
                writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        if self.endless or self.silent:
            await reader.read()
            self.left.set()
            return
        writer.write(b"0\r\n\r\n")


@asynccontextmanager
async def run_upstream() -> AsyncIterator[Upstream]:
    """Listens on a free loopback port."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield upstream
