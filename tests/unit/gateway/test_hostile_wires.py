"""Clients that mean harm, or do not read: one answer a request, in order, in bounded memory; nothing is smuggled."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from typing import Any

import pytest
from tests.support.gateway_bench import ANSWER, Bench
from tests.support.gateway_process import GatewayProcess, until
from tests.support.http_wire import read_answer, request
from tests.support.openai_engine import Engine, Wire

from aicp.gateway.server import for_ever

PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: a\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"


def statuses(bench: Bench) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", bench.client_wire.written)]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "head",
    [
        POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        POST + b"content-length: 2, 2\r\n\r\n{}",
        POST + b"content-length: +2\r\n\r\n{}",
        POST + b"content-length: 0x2\r\n\r\n{}",
        POST + b"content-length: 99999999999999999999999\r\n\r\n{}",
        POST + b"content-length: \r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        HEALTH + b"x: a\r\n b\r\n\r\n",
        HEALTH + b"x: a\0b\r\n\r\n",
        HEALTH + b"x\0: b\r\n\r\n",
        HEALTH + b"x: a\rb\r\n\r\n",
        HEALTH + b"x: a\ny: b\r\n\r\n",
        b"GET /healthz\0 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\nhost: a\n\n",
        b"GET /healthz HTTP/9.9\r\nhost: a\r\n\r\n",
    ],
)
async def test_what_two_servers_might_read_differently_is_refused_with_all_that_follows(
    bench: Bench, head: bytes
) -> None:
    with_key = b"host: a\r\nauthorization: Bearer %b\r\n" % bench.key.encode()
    bench.client.data_received(head.replace(b"host: a\r\n", with_key) + SMUGGLED)
    await settled()
    assert statuses(bench) == [400], "and nothing is answered after it"
    assert b"connection: close" in bench.client_wire.written
    assert not bench.engine_wire.written


async def test_an_offer_to_upgrade_is_not_taken_and_changes_nothing(bench: Bench) -> None:
    offer = b"connection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    bench.client.data_received(HEALTH + offer + HEALTH + offer + HEALTH + b"\r\n")
    await settled()
    assert statuses(bench) == [200, 200, 200]


@pytest.mark.parametrize(
    "framing", [b"content-length: %d\r\n\r\n%b", b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"]
)
async def test_the_body_behind_an_offer_to_upgrade_is_no_request(bench: Bench, framing: bytes) -> None:
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
    data = POST + offer + framing % (len(SMUGGLED), SMUGGLED)
    bench.client.data_received(data[:-10])
    bench.client.data_received(data[-10:] + HEALTH + b"\r\n")
    await settled()
    assert statuses(bench) == [400]
    assert b"upgrade" in bench.client_wire.written


async def test_connect_is_answered_once(bench: Bench) -> None:
    bench.client.data_received(b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n" + SMUGGLED)
    await settled()
    assert statuses(bench) == [404]
    assert bench.client_wire.ended


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://gateway/healthz", 200),
        ("https://gateway:8601/healthz?x=http://a/b", 200),
        ("http://gateway", 404),
        ("http://gateway?x=/healthz", 404),
        ("ftp://gateway/healthz", 404),
        ("//gateway/healthz", 404),
        ("/healthz/../healthz", 404),
        ("/%68ealthz", 404),
        ("/healthz%00", 404),
        ("/v1/models/%2e%2e", 401),
    ],
)
async def test_a_target_that_names_the_host_means_its_path_and_no_other(bench: Bench, target: str, status: int) -> None:
    bench.client.data_received(request("GET", target))
    await settled()
    assert statuses(bench) == [status]


async def test_an_old_client_is_not_told_to_continue(bench: Bench) -> None:
    data = request("POST", PATH, CHAT, key=bench.key, headers={"expect": "100-continue"})
    bench.client.data_received(data.replace(b"HTTP/1.1", b"HTTP/1.0").partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert bench.client_wire.written == b""


async def test_a_request_that_comes_between_two_answers_is_not_answered_before_its_turn(bench: Bench) -> None:
    """The second request waits for the end of the first; the third arrives just when that has come."""
    first = request("POST", PATH, CHAT, key=bench.key)
    bench.client.data_received(first + request("GET", "/v1/models", key=bench.key))
    bench.answer()
    bench.client.data_received(HEALTH + b"\r\n")
    await settled()
    bodies = re.findall(rb"\r\n\r\n(\{.*?\})(?=HTTP/1\.1|$)", bench.client_wire.written)
    assert [body[:12] for body in bodies] == [ANSWER[:12], b'{"object":"l', b'{"status":"o']


async def test_nothing_is_answered_to_a_client_that_does_not_read(bench: Bench) -> None:
    bench.client.data_received(HEALTH + b"\r\n")
    bench.client.pause_writing()
    bench.client.data_received((HEALTH + b"\r\n") * 40)
    await settled()
    assert statuses(bench) == [200]
    assert bench.client_wire.reading[-1] is False, "what it sends is not read without end either"
    bench.client.resume_writing()
    for _ in range(50):
        await settled()
    assert statuses(bench) == [200] * 41
    assert bench.client_wire.reading[-1] is True


@pytest.mark.parametrize("ahead", [0, 3])
async def test_what_is_sent_behind_a_body_that_is_passed_on_is_not_held(bench: Bench, ahead: int) -> None:
    """The connection ends with that answer; here it waits for the ones before it while the client sends on."""
    upload = request("POST", "/v1/files", bytes(100_000), key=bench.key)
    bench.client.data_received(request("POST", PATH, CHAT, key=bench.key) + (HEALTH + b"\r\n") * ahead)
    tracemalloc.start()
    for data in [upload] * 100 + [upload * 2, b"no HTTP"]:
        bench.client.data_received(data)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1 << 20
    bench.answer()
    for _ in range(ahead + 1):
        await settled()
    assert statuses(bench) == [200] * (1 + ahead) + [404], "this gateway passes nothing on"
    assert bench.client_wire.ended


async def test_a_client_that_does_not_read_and_leaves_ends_the_engine_s_work(
    gateway: GatewayProcess, engine: Engine
) -> None:
    async def endless(wire: Wire, asked: Any) -> None:
        await wire.start()
        while True:
            await wire.event({"choices": [{"index": 0, "delta": {"content": "x" * 100_000}}]})

    engine.script = endless
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    writer.write(request("POST", PATH, CHAT | {"stream": True}, key=gateway.key))
    await until(lambda: engine.asked)
    await asyncio.sleep(0.5)  # until all buffers on the way are full
    assert not engine.aborted
    writer.transport.abort()
    await until(lambda: engine.aborted, 5)
    (record,) = await gateway.recorded(1)
    assert record["outcome"] == "canceled"


async def test_bodies_in_single_bytes_with_long_extensions_are_bounded(gateway: GatewayProcess) -> None:
    head = request("POST", PATH, key=gateway.key, headers={"transfer-encoding": "chunked"})
    reader, writer = await gateway.connect()
    writer.write(head.replace(b"content-length: 0\r\n", b"") + b"1;" + b"a" * 1_000_000)
    assert (await asyncio.wait_for(read_answer(reader), 10)).status == 431
    writer.close()


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        b"transfer-encoding: chunked\r\n\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("line", [b"", b"x: y\r\n"])
async def test_an_engine_s_head_or_trailer_without_end_is_not_read_on(
    bench: Bench, beginning: bytes, line: bytes
) -> None:
    bench.ask(PATH, messages=CHAT["messages"])
    bench.engine.data_received(b"HTTP/1.1 200 OK\r\n" + beginning + (line or b"x: "))
    read = 0
    while not bench.engine_wire.ended and read < 1 << 20:
        piece = (line or b"y") * 1000
        bench.engine.data_received(piece)
        read += len(piece)
    assert read < 80_000


async def test_much_that_is_no_body_is_no_fault_where_a_body_comes_with_it(bench: Bench) -> None:
    bench.ask(PATH, messages=CHAT["messages"])
    bench.engine.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: " + b"y" * 100_000 + b"\r\n\r\n")
    for number in range(len(ANSWER)):
        bench.engine.data_received(b"1;" + b"y" * 2000 + b"\r\n")
        bench.engine.data_received(ANSWER[number : number + 1] + b"\r\n")
    bench.engine.data_received(b"0\r\n\r\n")
    await settled()
    assert statuses(bench) == [200]
    assert not bench.engine_wire.ended


async def test_a_part_of_the_gateway_that_fails_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    begun = 0

    async def job() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise RuntimeError("unexpected")
        await asyncio.Event().wait()

    running = asyncio.ensure_future(for_ever(job))
    await until(lambda: begun == 3)
    assert caplog.text.count("failed and goes on") == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
