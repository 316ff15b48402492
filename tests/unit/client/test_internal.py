"""The client of control's internal interface, against a server that a test scripts byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from tests.support.http_wire import Asked, read_request

from aicp.client.internal import InternalClient
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.route import RouteEntry, RouteTable, Target

TABLE = RouteTable(
    "e1", "cGVwcGVy", [], [RouteEntry("m", "m", None, "chat", "vllm", "m", [], [], [Target("r", "unix:/a", "t")])]
)


def whole(status: int, body: bytes = b"", *more: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in more)
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


@dataclass
class Control:
    """Answers with what `answer` gives; an empty answer ends the connection."""

    answer: Callable[[Asked], bytes] = lambda asked: whole(200, b"{}")
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    pieces: int = 1
    ends_after_answer: bool = False
    serving: list[asyncio.Future[None]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while (asked := await read_request(reader)) is not None:
            self.asked.append(asked)
            answer = self.answer(asked)
            cuts = [len(answer) * n // self.pieces for n in range(self.pieces + 1)]
            for start, end in pairwise(cuts):
                writer.write(answer[start:end])
                await writer.drain()
            if not answer or self.ends_after_answer:
                break
        writer.close()


@asynccontextmanager
async def running(control: Control) -> AsyncIterator[InternalClient]:
    server = await asyncio.start_server(control.serve, "127.0.0.1", 0)
    control.port = server.sockets[0].getsockname()[1]
    client = InternalClient(f"http://127.0.0.1:{control.port}", "secret", timeout_seconds=1.0)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        await asyncio.gather(*control.serving)


async def test_a_table_comes_as_values_and_an_unchanged_one_as_none() -> None:
    def answer(asked: Asked) -> bytes:
        known = "etag=e1&" in f"{asked.query}&"
        return b"HTTP/1.1 304 X\r\n\r\n" if known else whole(200, json.dumps(asdict(TABLE)).encode())

    control = Control(answer)
    async with running(control) as client:
        assert await client.routes(wait_seconds=0) == TABLE
        assert await client.routes("e1", wait_seconds=0) is None
        assert await client.routes("odd &etag", wait_seconds=0) == TABLE
    assert control.asked[0].headers["authorization"] == "Bearer secret"
    assert control.asked[2].query == "etag=odd%20%26etag&wait=0"
    assert control.connections == 1, "a connection is not used again"


async def test_an_answer_in_any_number_of_pieces_and_in_chunks() -> None:
    body = json.dumps(asdict(TABLE)).encode()
    chunked = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked += b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:5], len(body) - 5, body[5:])
    control = Control(lambda asked: chunked, pieces=40)
    async with running(control) as client:
        assert await client.routes() == TABLE


async def test_usage_and_heartbeats_are_json() -> None:
    control = Control(lambda asked: whole(200, b'{"sequence":3}'))
    async with running(control) as client:
        await client.usage("gw_1", 3, [b'{"request_id":"a"}', b'{"request_id":"b"}'])
        await client.heartbeat("gw_1", "e1", {"rep": 2}, datetime(2026, 1, 5, tzinfo=UTC))
    usage, beat = control.asked
    assert usage.json() == {"gateway_id": "gw_1", "sequence": 3, "records": [{"request_id": "a"}, {"request_id": "b"}]}
    assert beat.path == "/internal/v1/gateways/gw_1/heartbeat"
    assert beat.json() == {"etag": "e1", "inflight": {"rep": 2}, "started_at": "2026-01-05T00:00:00Z"}


async def test_a_kept_connection_that_ended_meanwhile_is_replaced() -> None:
    control = Control(ends_after_answer=True)
    async with running(control) as client:
        for _ in range(3):
            await client.heartbeat("gw_1", "", {})
    assert len(control.asked) == 3


@pytest.mark.parametrize("status", [401, 422, 500])
async def test_a_refusal_keeps_its_status(status: int) -> None:
    control = Control(lambda asked: whole(status, b'{"error":{"message":"no, because"}}'))
    async with running(control) as client:
        with pytest.raises(AicpError, match="no, because") as caught:
            await client.usage("gw_1", 1, [])
    assert caught.value.status == status


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", whole(200, b"{}")[:-1], whole(200, b"[]")])
async def test_silence_cuts_and_nonsense_are_unavailable(answer: bytes) -> None:
    async with running(Control(lambda asked: answer, ends_after_answer=True)) as client:
        with pytest.raises(UnavailableError):
            await client.routes(wait_seconds=0)


async def test_nobody_there_and_nobody_answering_are_unavailable() -> None:
    async with running(Control()) as client:
        client._timeout_seconds = 0.05
        gone = InternalClient("http://127.0.0.1:1", "secret")
        with pytest.raises(UnavailableError):
            await gone.heartbeat("gw_1", "", {})
    silent = Control(lambda asked: b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\n")
    async with running(silent) as client:
        client._timeout_seconds = 0.05
        with pytest.raises(UnavailableError):
            await client.heartbeat("gw_1", "", {})


async def test_a_file_from_any_offset() -> None:
    content = bytes(range(256)) * 4000

    def answer(asked: Asked) -> bytes:
        wanted = asked.headers.get("range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        return whole(206 if wanted else 200, content[start:])

    control = Control(answer, pieces=7)
    async with running(control) as client:
        assert b"".join([piece async for piece in client.artifact("ab12")]) == content
        assert b"".join([piece async for piece in client.artifact("ab12", offset=1000)]) == content[1000:]
    assert control.asked[0].path == "/internal/v1/artifacts/ab12"


async def test_a_file_that_is_not_there_or_is_cut() -> None:
    async with running(Control(lambda asked: whole(404, b"no such file"))) as client:
        with pytest.raises(AicpError, match="no such file") as caught:
            _ = [piece async for piece in client.artifact("ab12")]
        assert caught.value.status == 404
    async with running(Control(lambda asked: whole(200, b"abc")[:-1], ends_after_answer=True)) as client:
        with pytest.raises(UnavailableError):
            _ = [piece async for piece in client.artifact("ab12")]
    async with running(Control(lambda asked: whole(200, b"whole"))) as client:
        with pytest.raises(AicpError, match="200"):
            _ = [piece async for piece in client.artifact("ab12", offset=2)]
