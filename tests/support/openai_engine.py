"""An engine of which a test decides everything: what it answers, how slowly, and when it dies.

It speaks HTTP on a unix socket, notes every request, and notes those whose caller left before the answer's end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.http_wire import Asked, read_request

Script = Callable[["Wire", Asked], Awaitable[None]]
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}


class CutError(Exception):
    """The engine drops its connection now."""


@dataclass
class Wire:
    """The answer's side of one connection."""

    writer: asyncio.StreamWriter

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def json(self, value: Any, status: int = 200, headers: str = "") -> None:
        """A whole answer."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        await self.raw(head.encode() + body)

    async def start(self) -> None:
        """The head of a stream."""
        await self.raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    async def piece(self, data: bytes) -> None:
        """A chunk."""
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, value: Any) -> None:
        """A server-sent event of JSON, or of text."""
        await self.piece(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode())

    async def end(self) -> None:
        """The end of a stream."""
        await self.raw(b"0\r\n\r\n")

    async def cut(self) -> None:
        """Drops the connection in the middle."""
        raise CutError


async def answer_normally(wire: Wire, asked: Asked) -> None:
    """What an engine that is well does: `Hello to you` in three tokens."""
    if asked.path in ("/v1/chat/completions", "/v1/completions"):
        await _complete(wire, asked)
    elif asked.path == "/v1/embeddings":
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
        usage = {"prompt_tokens": 2, "total_tokens": 2}
        await wire.json({"object": "list", "model": "inner", "data": data, "usage": usage})
    elif asked.path == "/v1/rerank":
        results = [{"index": 0, "document": {"text": "a"}, "relevance_score": 0.5}]
        await wire.json({"id": "r", "model": "inner", "results": results, "usage": {"total_tokens": 5}})
    else:
        await wire.json({"detail": "Not Found"}, 404)


async def _complete(wire: Wire, asked: Asked) -> None:
    body = asked.json()
    chat = asked.path.endswith("chat/completions")
    kind = "chat.completion" if chat else "text_completion"
    base = {"id": "cmpl-1", "object": kind, "created": 1, "model": body.get("model")}
    if not body.get("stream"):
        content = {"message": {"role": "assistant", "content": "Hello to you"}} if chat else {"text": "Hello to you"}
        choice = {"index": 0, "finish_reason": "stop", **content}
        return await wire.json({**base, "choices": [choice], "usage": USAGE})
    base["object"] += ".chunk" if chat else ""
    await wire.start()
    for word in ("Hello", " to", " you"):
        content = {"delta": {"content": word}} if chat else {"text": word}
        await wire.event({**base, "choices": [{"index": 0, "finish_reason": None, **content}]})
    content = {"delta": {}} if chat else {"text": ""}
    await wire.event({**base, "choices": [{"index": 0, "finish_reason": "stop", **content}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        await wire.event({**base, "choices": [], "usage": USAGE})
    await wire.event("[DONE]")
    await wire.end()


@dataclass
class Engine:
    """A running engine. `script` may be replaced at any time."""

    path: Path
    script: Script = answer_normally
    asked: list[Asked] = field(default_factory=list)
    aborted: list[tuple[Asked, float]] = field(default_factory=list)
    """Requests whose caller left, with the loop's time of it."""
    connections: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """As a route table names it."""
        return f"unix:{self.path}"

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_unix_server(self._serve, str(self.path), limit=2**24)

    async def stop(self) -> None:
        """Dies: no socket, all connections reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        self.path.unlink(missing_ok=True)

    def drop_idle(self) -> None:
        """Closes every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        first = b""
        try:
            while (asked := await read_request(reader, first)) is not None:
                self.asked.append(asked)
                first = await self._answer(reader, writer, asked)
        except (CutError, ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> bytes:
        script = asyncio.ensure_future(self.script(Wire(writer), asked))
        watch = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({script, watch}, return_when=asyncio.FIRST_COMPLETED)
        broken = script.done() and isinstance(script.exception(), ConnectionError)
        if broken or not script.done():
            self.aborted.append((asked, asyncio.get_running_loop().time()))
            script.cancel()
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await script
        with suppress(asyncio.CancelledError):
            return await watch
        return b""


@asynccontextmanager
async def run_engine(path: Path, script: Script = answer_normally) -> AsyncIterator[Engine]:
    """An engine for the time of a test."""
    engine = Engine(path, script)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
