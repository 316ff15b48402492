"""HTTP/1.1 as clients really speak it, well and badly."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, run_gateway
from tests.support.http_wire import Answer, read_answer, request
from tests.support.openai_engine import Engine, Wire, answer_normally

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def exchange(gateway: GatewayProcess, data: bytes, answers: int = 1) -> list[Answer]:
    """Sends bytes and reads answers, on one connection."""
    reader, writer = await gateway.connect()
    try:
        writer.write(data)
        return [await asyncio.wait_for(read_answer(reader), 15) for _ in range(answers)]
    finally:
        writer.close()


async def test_a_connection_serves_many_requests_over_one_connection_to_the_engine(
    gateway: GatewayProcess, engine: Engine
) -> None:
    engine.drop_idle()
    before = engine.connections
    reader, writer = await gateway.connect()
    for number in range(20):
        writer.write(request("POST", PATH, CHAT | {"stream": number % 2 == 1}, key=gateway.key))
        assert (await read_answer(reader)).status == 200
    writer.close()
    assert engine.connections == before + 1


async def test_pipelined_requests_are_answered_in_order(gateway: GatewayProcess, engine: Engine) -> None:
    async def slower_first(wire: Wire, asked: Any) -> None:
        await asyncio.sleep(0.1 if asked.json()["user"] == "0" else 0)
        await wire.json({"user": asked.json()["user"], "choices": []})

    engine.script = slower_first
    data = b"".join(request("POST", PATH, CHAT | {"user": str(number)}, key=gateway.key) for number in range(12))
    answers = await exchange(gateway, data, 12)
    assert [answer.json()["user"] for answer in answers] == [str(number) for number in range(12)]


async def test_a_request_in_single_bytes(gateway: GatewayProcess) -> None:
    reader, writer = await gateway.connect()
    for byte in request("POST", PATH, CHAT, key=gateway.key):
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await read_answer(reader)).status == 200
    writer.close()


async def test_a_chunked_request_body(gateway: GatewayProcess, engine: Engine) -> None:
    body = json.dumps(CHAT).encode()
    head = request("POST", PATH, key=gateway.key, headers={"transfer-encoding": "chunked"})
    head = head.replace(b"content-length: 0\r\n", b"")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    (answer,) = await exchange(gateway, head + chunks + b"0\r\n\r\n")
    assert answer.status == 200
    assert engine.asked[0].json()["messages"] == CHAT["messages"]


async def test_a_client_that_waits_for_100_continue_gets_it(gateway: GatewayProcess) -> None:
    data = request("POST", PATH, CHAT, key=gateway.key, headers={"expect": "100-continue"})
    head, _, body = data.partition(b"\r\n\r\n")
    reader, writer = await gateway.connect()
    writer.write(head + b"\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_answer(reader)).status == 200
    writer.close()


async def test_expect_with_a_body_too_large_or_a_wrong_key_is_refused_before_the_body(gateway: GatewayProcess) -> None:
    headers = {"expect": "100-continue", "content-length": str(60 * 2**20)}
    (answer,) = await exchange(gateway, request("POST", PATH, key=gateway.key, headers=headers))
    assert answer.status == 413


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large_is_refused_so_that_the_client_learns_why(
    gateway: GatewayProcess, chunked: bool
) -> None:
    """The client writes all 100 MB before it reads, as most do; a reset would take the answer from it."""
    size = 100 * 2**20
    reader, writer = await gateway.connect()
    framing = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(size)}
    head = request("POST", PATH, key=gateway.key, headers=framing)
    writer.write(head.replace(b"content-length: 0\r\n", b"") if chunked else head)
    piece = b"x" * 2**16
    for _ in range(size // len(piece)):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
    writer.write(b"0\r\n\r\n" if chunked else b"")
    answer = await asyncio.wait_for(read_answer(reader), 10)
    assert answer.status == 413
    assert "MiB" in answer.json()["error"]["message"] or "MB" in answer.json()["error"]["message"]
    assert await reader.read() == b""
    writer.close()
    assert gateway.pss_mb() < 120


async def test_a_flood_behind_a_refused_body_is_not_read_forever(
    control: ControlPlane, secret: str, tmp_path: Path
) -> None:
    async with run_gateway(tmp_path / "g", control, secret) as gateway:
        _, writer = await gateway.connect()
        writer.write(request("POST", PATH, key=secret, headers={"content-length": str(2**40)}))

        async def flood() -> None:
            while True:
                writer.write(b"x" * 2**16)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flood(), 30)
        writer.close()


async def test_headers_too_large(gateway: GatewayProcess) -> None:
    for headers in ({"x-big": "a" * 100_000}, {f"x-{number}": "a" * 1000 for number in range(100)}):
        (answer,) = await exchange(gateway, request("POST", PATH, CHAT, key=gateway.key, headers=headers))
        assert answer.status == 431
    (answer,) = await exchange(gateway, request("GET", "/v1/models/" + "a" * 100_000, key=gateway.key))
    assert answer.status in (414, 431)


@pytest.mark.parametrize(
    "data",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost : a\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_400_and_nothing_else(gateway: GatewayProcess, data: bytes) -> None:
    reader, writer = await gateway.connect()
    writer.write(data)
    answer = await asyncio.wait_for(read_answer(reader), 5)
    assert answer.status in (400, 401)
    assert answer.json()["error"]["message"]
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_an_upgrade_is_not_taken(gateway: GatewayProcess) -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket"}
    (answer,) = await exchange(gateway, request("GET", "/v1/models", key=gateway.key, headers=headers))
    assert answer.status in (200, 400, 426)


async def test_http_1_0_and_connection_close_end_the_connection(gateway: GatewayProcess) -> None:
    old = request("POST", PATH, CHAT | {"stream": True}, key=gateway.key).replace(b"HTTP/1.1", b"HTTP/1.0")
    new = request("POST", PATH, CHAT, key=gateway.key, headers={"connection": "close"})
    for data in (old, new):
        reader, writer = await gateway.connect()
        writer.write(data)
        text = await asyncio.wait_for(reader.read(), 5)
        assert text.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
        assert b"chunked" not in text or data is new
        writer.close()


async def test_a_head_that_never_ends_and_a_body_that_stops(control: ControlPlane, secret: str, tmp_path: Path) -> None:
    limits = {"header_seconds": 0.5, "body_idle_seconds": 0.5, "idle_seconds": 1.0}
    async with run_gateway(tmp_path / "g", control, secret, limits=limits) as gateway:
        whole = request("POST", PATH, CHAT, key=secret)
        for part in (whole[:30], whole[:-5]):
            reader, writer = await gateway.connect()
            writer.write(part)
            assert (await asyncio.wait_for(read_answer(reader), 10)).status == 408
            assert await reader.read() == b""
            writer.close()
        reader, writer = await gateway.connect()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_paths_and_methods(gateway: GatewayProcess) -> None:
    assert (await gateway.ask("/healthz", method="GET", key="")).status == 200
    for path in (
        "/",
        "/v1",
        "/v1/nothing",
        "/v1//chat/completions",
        "/V1/models",
        "/v1/%6dodels",
        "/v1/models;x",
        "/v1/../x",
    ):
        answer = await gateway.ask(path, method="GET")
        assert answer.status == 404, path
        assert answer.json()["error"]["message"]
    answer = await gateway.ask(PATH, method="GET")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert (await gateway.ask("/v1/models", {})).status == 405


async def test_a_query_does_not_disturb(gateway: GatewayProcess) -> None:
    assert (await gateway.ask(PATH + "?api-version=1&x=%2F", CHAT)).status == 200


async def test_a_request_id_is_on_every_answer(gateway: GatewayProcess) -> None:
    answers = [await gateway.ask("/v1/models", method="GET", key=key) for key in ("", gateway.key)]
    answers.append(await gateway.ask(PATH, CHAT | {"stream": True}))
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3


async def test_many_connections_at_once(gateway: GatewayProcess, engine: Engine) -> None:
    async def one() -> int:
        return (await gateway.ask(PATH, CHAT | {"stream": True})).status

    assert await asyncio.gather(*(one() for _ in range(200))) == [200] * 200


async def test_a_slow_reader_of_a_fast_stream_costs_no_memory(gateway: GatewayProcess, engine: Engine) -> None:
    """The engine is held back as soon as the client does not read, and goes on when it does."""
    total, sent = 3000, 0

    async def fast(wire: Wire, asked: Any) -> None:
        nonlocal sent
        await wire.start()
        for _ in range(total):
            await wire.event({"choices": [{"index": 0, "delta": {"content": "x" * 30_000}}]})
            sent += 1
        await wire.event("[DONE]")
        await wire.end()

    engine.script = fast
    size_before = gateway.pss_mb()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2**16)
    for _ in range(2):
        sent = 0
        writer.write(request("POST", PATH, CHAT | {"stream": True}, key=gateway.key))
        await reader.readuntil(b"\r\n\r\n")
        held = -1
        while held != sent:  # until nothing has moved for half a second
            held = sent
            await asyncio.sleep(0.5)
        assert 0 < sent < total
        assert gateway.pss_mb() - size_before < 20
        size = 0
        while True:
            line = await reader.readuntil(b"\r\n")
            length = int(line, 16)
            await reader.readexactly(length + 2)
            size += length
            if not length:
                break
        assert size > total * 30_000
        engine.drop_idle()
        await asyncio.sleep(0.1)
    engine.script = answer_normally
    writer.write(request("POST", PATH, CHAT, key=gateway.key))
    assert (await read_answer(reader)).status == 200
    writer.close()


async def test_trailers_are_limited_and_say_nothing_of_the_next_request(gateway: GatewayProcess) -> None:
    head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" % PATH.encode()
    body = json.dumps(CHAT).encode()
    with_key = b"authorization: Bearer %b\r\n" % gateway.key.encode()
    chunked = head + b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (with_key, len(body), body)
    keyless = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
    first, second = await exchange(gateway, chunked + with_key + b"\r\n" + keyless, 2)
    assert (first.status, second.status) == (200, 401), "a trailer gave the next request a key"
    endless = b"GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: "
    (refused,) = await exchange(gateway, endless + b"a" * 2_000_000)
    assert refused.status == 431


async def test_a_number_beyond_all_numbers_is_a_wrong_request(gateway: GatewayProcess) -> None:
    for path, body in (
        (PATH, '{"model": "demo", "messages": [{"role": "user", "content": [{"image_url": 1e999}]}]}'),
        ("/v1/responses", '{"model": "demo", "input": "x", "temperature": 1e999}'),
        ("/v1/messages", '{"model": "demo", "max_tokens": 1, "messages": [], "temperature": 1e999}'),
    ):
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        (answer,) = await exchange(gateway, (head + body).encode())
        assert answer.status == 400, (path, answer.body)
