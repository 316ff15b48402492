"""What the gateway does about its own mistakes: a logged 500 in the client's schema, one record, no reset."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.clock import FakeClock
from tests.support.gateway_process import PEPPER, entry_of, new_secret
from tests.support.http_wire import request

from aicp.core.route import RouteEntry, RouteTable, Target
from aicp.gateway import gateway as front
from aicp.gateway.api_keys import Key
from aicp.gateway.client_connection import ClientConnection, Connections
from aicp.gateway.config import Limits
from aicp.gateway.exchange import Site
from aicp.gateway.gateway import Gateway
from aicp.gateway.metrics import Metrics
from aicp.gateway.openai_responses import Translation
from aicp.gateway.requests import RequestIds
from aicp.gateway.routes import Routes
from aicp.gateway.upstream import UpstreamConnection
from aicp.gateway.usage import UsageLog, closed_records, segments
from aicp.security.keys import encode_pepper

ANSWER = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'


@dataclass
class Wire:
    """A transport that keeps what is written."""

    written: bytes = b""
    ended: bool = False
    reading: list[bool] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1)

    def abort(self) -> None:
        self.ended = True

    close = abort

    def is_closing(self) -> bool:
        return self.ended

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading.append(False)

    def resume_reading(self) -> None:
        self.reading.append(True)


@dataclass
class Bench:
    """A gateway without sockets: `client` and `engine` are the two ends."""

    client: ClientConnection
    client_wire: Wire
    engine: UpstreamConnection
    engine_wire: Wire
    key: str
    directory: Path

    def ask(self, path: str, **fields: Any) -> None:
        self.client.data_received(request("POST", path, {"model": "demo", **fields}, key=self.key))

    def answer(self, body: bytes = ANSWER) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.engine.data_received(head + body)

    def records(self) -> list[dict[str, Any]]:
        found = [line for _, path in segments(self.directory) for line in closed_records(path.read_bytes())]
        return [json.loads(line) for line in found]


@pytest.fixture
async def bench(tmp_path: Path, clock: FakeClock) -> Bench:
    secret = new_secret()
    target = Target("rep_1", "unix:/nowhere")
    route = RouteEntry("demo", "demo", None, "chat", "vllm", "demo", ["/v1/chat/completions"], ["priority"], [target])
    routes = Routes(tmp_path / "routes.json")
    routes.swap(RouteTable("1", encode_pepper(PEPPER), [entry_of(secret)], [route]))
    site = Site(UsageLog(tmp_path), Metrics(), clock, lambda: 0.0, Limits())
    gateway = Gateway(site, routes, "internal", dict, RequestIds())
    client, client_wire = ClientConnection(gateway, Connections(), asyncio.get_running_loop()), Wire()
    client.connection_made(cast(asyncio.Transport, client_wire))
    assert routes.table is not None
    found = routes.table.find("demo", Key(entry_of(secret)))
    assert found is not None
    replica = found.replicas[0]
    engine, engine_wire = UpstreamConnection(replica.pool), Wire()
    engine.connection_made(cast(asyncio.Transport, engine_wire))
    replica.pool.give(engine)
    return Bench(client, client_wire, engine, engine_wire, secret, tmp_path)


def failing(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError("a detail that is nobody's business")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_request_on_which_the_gateway_stumbles_is_500_and_the_next_one_is_served(
    bench: Bench, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(front, "make_call", failing)
        bench.ask(path, messages=[])
    head, _, body = bench.client_wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"x-request-id: req_" in head
    error = json.loads(body)
    assert ("type" in error) is (path == "/v1/messages")
    assert "detail" not in body.decode()
    assert "a detail that is nobody's business" in caplog.text
    assert [record["outcome"] for record in bench.records()] == ["engine_error"]
    bench.client_wire.written = b""
    bench.ask("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}])
    bench.answer()
    assert bench.client_wire.written.endswith(ANSWER)
    assert not bench.client_wire.ended


async def test_an_answer_on_which_the_gateway_stumbles_is_500_with_one_record(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Translation, "whole", failing)
    bench.ask("/v1/responses", input="Hi")
    bench.answer()
    assert bench.client_wire.written.startswith(b"HTTP/1.1 500 ")
    assert b"detail" not in bench.client_wire.written
    assert "a detail that is nobody's business" in caplog.text
    assert [(record["outcome"], record["status"]) for record in bench.records()] == [("engine_error", 500)]


async def test_a_client_that_reads_slowly_slows_its_engine_and_nobody_else_s(bench: Bench) -> None:
    bench.ask("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}], stream=True)
    start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    bench.engine.data_received(start)
    assert bench.client_wire.written == b"", "a head went out before the engine had said anything"
    bench.client.pause_writing()
    bench.client.resume_writing()
    bench.client.pause_writing()
    assert bench.engine_wire.reading == [False, True, False]
    event = b'data: {"choices":[]}\n\n'
    bench.engine.data_received(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
    assert bench.engine_wire.reading[-1], "the connection went back to the pool without reading"
