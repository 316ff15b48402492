"""HTTP/1.1 over asyncio streams, as much of it as a gateway beside us speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aicp_lightengine.errors import Refused

MAXIMUM_BODY_BYTES = 64 * 2**20
_HEAD_BYTES = 64 * 2**10
_LOOK_SECONDS = 0.2
"""How often it is looked whether a caller that waits for its answer is still there."""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One parsed request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: text as it is, anything else as JSON. `retry_after`: seconds until asking again may help."""

    status: int
    content: Any
    retry_after: int | None = None

    def encode(self, *, close: bool) -> bytes:
        """Head and body."""
        is_text = isinstance(self.content, str)
        body = self.content.encode() if is_text else json.dumps(self.content, separators=(",", ":")).encode()
        kind = "text/plain; charset=utf-8" if is_text else "application/json"
        more = "Connection: close\r\n" if close else ""
        if self.retry_after is not None:
            more += f"Retry-After: {self.retry_after}\r\n"
        head = f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Error')}\r\nContent-Type: {kind}\r\n{more}"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


Answerer = Callable[[Request], Awaitable[Answer]]


class Connections:
    """Serves connections, requests of each one after the other; an answer is dropped when its caller hangs up."""

    def __init__(self, answer: Answerer) -> None:
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until its client ends it."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                while (request := await _read(reader)) and (answer := await self._answered(request, reader)):
                    writer.write(answer.encode(close=False))
                    await writer.drain()
            except Refused as refused:
                # What is left of the connection cannot be told apart from the next request.
                writer.write(Answer(refused.status, refused.body()).encode(close=True))
                await writer.drain()
        writer.close()

    async def _answered(self, request: Request, reader: asyncio.StreamReader) -> Answer | None:
        """The answer; None when the caller hung up before, and the work for it was canceled.

        A caller that shuts down its sending side has hung up too: what asks engines here never does so before the end.
        """
        work = asyncio.ensure_future(self._answer(request))
        try:
            while not work.done():
                await asyncio.wait((work,), timeout=_LOOK_SECONDS)
                if not work.done() and (reader.at_eof() or reader.exception()):
                    return None
            return work.result()
        finally:
            work.cancel()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        raise Refused(400, "The first line is not a request.")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(words[0], words[1].split("?", 1)[0], headers, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    try:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await _chunks(reader)
        length = int(headers.get("content-length", "0"))
    except ValueError as error:
        raise Refused(400, "The length of the body is not a number.") from error
    if not 0 <= length <= MAXIMUM_BODY_BYTES:
        raise Refused(413, f"The body is larger than {MAXIMUM_BODY_BYTES:,} bytes.")
    return await reader.readexactly(length)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        if len(body) + size > MAXIMUM_BODY_BYTES:
            raise Refused(413, f"The body is larger than {MAXIMUM_BODY_BYTES:,} bytes.")
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return bytes(body)


async def listen(answer: Answerer, *, path: str | None, port: int | None) -> asyncio.Server:
    """A server on a unix socket, or on a port of the loopback interface."""
    serve = Connections(answer).serve
    if path is not None:
        return await asyncio.start_unix_server(serve, path, limit=_HEAD_BYTES)
    return await asyncio.start_server(serve, "127.0.0.1", port, limit=_HEAD_BYTES)
