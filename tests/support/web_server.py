"""A web server that media are fetched from: what each path answers is bytes, or a function that writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.http_wire import Asked, read_request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = PNG, kind: str = "image/png", status: int = 200, headers: str = "") -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def redirect(target: str, status: int = 302) -> bytes:
    """An answer that leads elsewhere."""
    return f"HTTP/1.1 {status} X\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n".encode()


@dataclass
class WebServer:
    """A running one; `left` is set when a client has left a reply that was under way."""

    port: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"http://{host}:{self.port}{path}"

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await read_request(reader)
            if asked is None:
                return
            self.asked.append(asked)
            reply = self.replies.get(asked.path, answer(status=404))
            if isinstance(reply, bytes):
                writer.write(reply)
                await writer.drain()
                return
            under_way = asyncio.ensure_future(reply(writer))
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({under_way, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not under_way.done():
                self.left.set()
                under_way.cancel()
            gone.cancel()
        except ConnectionError:
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def run_web_server() -> AsyncIterator[WebServer]:
    """A web server for the time of a test."""
    server = WebServer()
    await server.start()
    try:
        yield server
    finally:
        server.stop()
