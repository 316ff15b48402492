"""HTTP/1.1 as far as stand-in servers and hand-made clients need it, on asyncio streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """A request as a server received it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass
class Answer:
    """A response as a client received it."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


async def read_request(
    reader: asyncio.StreamReader, first: bytes = b"", *, unread: Callable[[Asked], bool] = lambda asked: False
) -> Asked | None:
    """The next request of a connection, None when there is none. `first` was already read.

    The body of one for which `unread` holds is left.
    """
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    line, headers = _split(head)
    method, target, _ = line.split(" ", 2)
    path, _, query = target.partition("?")
    asked = Asked(method, path, query, headers, b"")
    if unread(asked):
        return asked
    if headers.get("transfer-encoding") == "chunked":
        chunks: list[bytes] = []
        while chunk := await read_chunk(reader):
            chunks.append(chunk)
        asked.body = b"".join(chunks)
    else:
        asked.body = await reader.readexactly(int(headers.get("content-length", "0")))
    return asked


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """A whole response. Raises IncompleteReadError when it is cut."""
    answer = await read_head(reader)
    if answer.headers.get("transfer-encoding") == "chunked":
        while chunk := await read_chunk(reader):
            answer.chunks.append(chunk)
        answer.body = b"".join(answer.chunks)
    elif "content-length" in answer.headers:
        answer.body = await reader.readexactly(int(answer.headers["content-length"]))
    else:
        answer.body = await reader.read()
    return answer


async def read_head(reader: asyncio.StreamReader) -> Answer:
    """Status and headers; interim answers are passed over."""
    while True:
        line, headers = _split(await reader.readuntil(b"\r\n\r\n"))
        status = int(line.split(" ")[1])
        if status >= 200:
            return Answer(status, headers)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """A piece of a chunked body; empty at its end."""
    size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
    return (await reader.readexactly(size + 2))[:-2]


def request(
    method: str, path: str, body: bytes | Any = b"", *, key: str = "", headers: dict[str, str] | None = None
) -> bytes:
    """A request as it goes over the wire; what is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"host": "gateway", "content-type": "application/json", "content-length": str(len(data))}
    if key:
        lines["authorization"] = f"Bearer {key}"
    lines |= headers or {}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data


def _split(head: bytes) -> tuple[str, dict[str, str]]:
    line, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (text.partition(":") for text in rest)
    return line, {name.strip().lower(): value.strip() for name, _, value in pairs}
