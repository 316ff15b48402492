"""Connections: answers one after the other, and no work for callers that hung up."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aicp_lightengine.http_server import Answer, Request, listen

ASK = b"GET /%s HTTP/1.1\r\n\r\n"


class Answers:
    """Answers with the path at once; `/slow` waits for `go`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.canceled = asyncio.Event()

    async def __call__(self, request: Request) -> Answer:
        if request.path == "/busy":
            return Answer(503, "busy", 5)
        if request.path == "/slow":
            self.began.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.canceled.set()
                raise
        return Answer(200, request.path)


@asynccontextmanager
async def connected(answers: Answers, path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client of a server that answers so."""
    server = await listen(answers, path=str(path), port=None)
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def test_requests_of_a_connection_are_answered_one_after_the_other(tmp_path: Path) -> None:
    answers = Answers()
    async with connected(answers, tmp_path / "s") as (reader, writer):
        writer.write(ASK % b"slow" + ASK % b"second")
        await answers.began.wait()
        # longer than it takes until the server looks whether we are there
        await asyncio.sleep(0.3)
        answers.go.set()
        assert (await answer(reader))[1] == b"/slow"
        assert (await answer(reader))[1] == b"/second"
        assert not answers.canceled.is_set()


@pytest.mark.parametrize("reset", [False, True])
async def test_work_of_who_hung_up_is_dropped(tmp_path: Path, reset: bool) -> None:
    answers = Answers()
    server = await listen(answers, path=None, port=0)
    client = socket.create_connection(server.sockets[0].getsockname())
    client.sendall(ASK % b"slow")
    await answers.began.wait()
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await asyncio.wait_for(answers.canceled.wait(), 10)
    server.close()


async def test_who_is_refused_for_now_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with connected(Answers(), tmp_path / "s") as (reader, writer):
        writer.write(ASK % b"busy")
        head, body = await answer(reader)
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nRetry-After: 5\r\n" in head
        assert body == b"busy"
