"""Engines that refuse, die, hang or answer nonsense, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, route_to, run_gateway, until
from tests.support.http_wire import read_answer, read_chunk, read_head, request
from tests.support.openai_engine import Engine, Script, Wire, answer_normally, run_engine

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"
STREAM = CHAT | {"stream": True}


@asynccontextmanager
async def second(control: ControlPlane, gateway: GatewayProcess, engine: Engine) -> AsyncIterator[Engine]:
    """A second replica of `demo`."""
    assert control.table is not None
    async with run_engine(engine.path.with_name("b.sock")) as other:
        etag = control.table.etag + "+"
        control.publish(replace(control.table, etag=etag, routes=[route_to([engine, other])]))
        await gateway.with_table(etag)
        yield other


def failing(status: int, body: Any = None) -> Script:
    async def script(wire: Wire, asked: Any) -> None:
        await wire.json({"error": {"message": "engine says no"}} if body is None else body, status)

    return script


async def cut_at_once(wire: Wire, asked: Any) -> None:
    await wire.cut()


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {
                "message": "This model's maximum context length is 4096 tokens.",
                "type": "BadRequestError",
                "code": 400,
            }
        },
        {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400},
        {"detail": "This model's maximum context length is 4096 tokens."},
        {"detail": [{"loc": ["body"], "msg": "This model's maximum context length is 4096 tokens."}]},
        {"error": "This model's maximum context length is 4096 tokens."},
        {"message": "This model's maximum context length is 4096 tokens."},
        b"This model's maximum context length is 4096 tokens.",
        {
            "error": {
                "code": 400,
                "message": "This model's maximum context length is 4096 tokens.",
                "type": "exceed_context_size_error",
            }
        },
    ],
)
async def test_an_engine_s_refusal_is_passed_on_in_openai_s_form(
    gateway: GatewayProcess, engine: Engine, body: Any
) -> None:
    engine.script = failing(400, body)
    for stream in (False, True):
        answer = await gateway.ask(PATH, CHAT | {"stream": stream})
        assert answer.status == 400
        error = answer.json()["error"]
        assert "maximum context length is 4096" in error["message"]
        assert isinstance(error["type"], str)
    records = await gateway.recorded(2)
    assert {(record["outcome"], record["status"]) for record in records} == {("rejected", 400)}


async def test_an_engine_that_refuses_its_own_token_is_the_platform_s_fault(
    gateway: GatewayProcess, engine: Engine
) -> None:
    """A client must never be told that its key is wrong when it is the engine's token that is."""
    for status in (401, 403):
        engine.script = failing(status)
        assert (await gateway.ask(PATH, CHAT)).status == 502


async def test_an_engine_s_failure_is_502_in_openai_s_form_without_its_traceback(
    gateway: GatewayProcess, engine: Engine
) -> None:
    engine.script = failing(500, b"Traceback (most recent call last): secret path")
    answer = await gateway.ask(PATH, CHAT)
    assert answer.status in (502, 503)
    assert answer.json()["error"]["type"] == "server_error"
    assert b"Traceback" not in answer.body
    (record,) = await gateway.recorded(1)
    assert record["outcome"] == "engine_error"


async def test_nonsense_from_an_engine_is_502(gateway: GatewayProcess, engine: Engine) -> None:
    async def nonsense(wire: Wire, asked: Any) -> None:
        await wire.raw(b"SSH-2.0-OpenSSH\r\n")
        await asyncio.sleep(5)

    engine.script = nonsense
    assert (await gateway.ask(PATH, CHAT)).status in (502, 503)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("trouble", [cut_at_once, failing(503), failing(502), failing(500), failing(429)])
async def test_trouble_before_the_first_byte_is_tried_on_another_replica(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, trouble: Script, stream: bool
) -> None:
    async with second(control, gateway, engine) as other:
        engine.script = trouble
        for _ in range(16):
            assert (await gateway.ask(PATH, CHAT | {"stream": stream})).status == 200
        assert engine.asked
        assert len(other.asked) == 16
        for record in await gateway.recorded(16):
            assert (record["outcome"], record["replica_id"]) == ("ok", "rep_b")
        assert len({record["request_id"] for record in control.usage}) == 16


async def test_a_dead_replica_is_not_asked_again_and_again(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    async with second(control, gateway, engine):
        engine.script = cut_at_once
        for _ in range(40):
            assert (await gateway.ask(PATH, CHAT)).status == 200
        assert len(engine.asked) <= 8
        engine.script = answer_normally
        seen = len(engine.asked)

        async def asked_again() -> None:
            while len(engine.asked) < seen + 3:
                await asyncio.gather(*(gateway.ask(PATH, CHAT) for _ in range(4)))
                await asyncio.sleep(0.1)

        await asyncio.wait_for(asked_again(), 20)


async def test_4xx_never_open_the_breaker(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> None:
    async with second(control, gateway, engine) as other:
        engine.script = other.script = failing(400)
        for _ in range(20):
            assert (await gateway.ask(PATH, CHAT)).status == 400
        engine.script = other.script = answer_normally
        asked = len(engine.asked), len(other.asked)
        for _ in range(30):
            await gateway.ask(PATH, CHAT)
        assert len(engine.asked) > asked[0]
        assert len(other.asked) > asked[1]


async def test_a_failure_in_the_middle_is_not_tried_again(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    async def dies(wire: Wire, asked: Any) -> None:
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "Hel"}}]})
        await asyncio.sleep(0.05)
        await wire.cut()

    async with second(control, gateway, engine) as other:
        engine.script = other.script = dies
        answer = await gateway.ask(PATH, STREAM)
        assert len(engine.asked) + len(other.asked) == 1
        assert answer.status == 200
        assert b"Hel" in answer.body
        assert b"[DONE]" not in answer.body
        last = answer.body.rstrip().split(b"\n\n")[-1]
        assert json.loads(last.partition(b"data: ")[2])["error"]["message"]
        (record,) = await gateway.recorded(1)
        assert record["outcome"] == "engine_error"
        assert record["ttft_ms"] is not None


async def test_a_whole_answer_that_is_cut_is_an_error_not_a_half_answer(
    gateway: GatewayProcess, engine: Engine
) -> None:
    async def half(wire: Wire, asked: Any) -> None:
        await wire.raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n" + b'{"choices":'
        )
        await asyncio.sleep(0.05)
        await wire.cut()

    engine.script = half
    assert (await gateway.ask(PATH, CHAT)).status == 503
    (record,) = await gateway.recorded(1)
    assert record["outcome"] == "unavailable"


async def test_without_any_replica_503_says_when_to_come_back(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await engine.stop()
    answer = await gateway.ask(PATH, CHAT)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert control.table is not None
    route = replace(control.table.routes[0], targets=[], reason="loading the model")
    control.publish(replace(control.table, etag="2", routes=[route]))
    await gateway.with_table("2")
    answer = await gateway.ask(PATH, CHAT)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "loading the model" in answer.json()["error"]["message"]
    assert [model["id"] for model in (await gateway.ask("/v1/models", method="GET")).json()["data"]] == ["demo"]


async def test_a_stale_connection_is_replaced_without_the_client_noticing(
    gateway: GatewayProcess, engine: Engine
) -> None:
    for _ in range(5):
        assert (await gateway.ask(PATH, CHAT)).status == 200
        engine.drop_idle()
    for _ in range(5):
        assert (await gateway.ask(PATH, CHAT)).status == 200

        async def once_then_close(wire: Wire, asked: Any) -> None:
            await answer_normally(wire, asked)
            await asyncio.sleep(0)
            await wire.cut()

        engine.script = once_then_close
        assert (await gateway.ask(PATH, CHAT)).status == 200
        engine.script = answer_normally


async def test_a_restarted_engine_on_the_same_socket_is_found(gateway: GatewayProcess, engine: Engine) -> None:
    assert (await gateway.ask(PATH, CHAT)).status == 200
    await engine.stop()
    assert (await gateway.ask(PATH, CHAT)).status == 503
    await engine.start()
    assert (await gateway.ask(PATH, CHAT)).status == 200


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_engine_s_work_within_50_ms(
    gateway: GatewayProcess, engine: Engine, stream: bool, begun: bool
) -> None:
    async def endless(wire: Wire, asked: Any) -> None:
        if begun and stream:
            await wire.start()
            while True:
                await wire.event({"choices": [{"index": 0, "delta": {"content": "x"}}]})
                await asyncio.sleep(0.01)
        if begun:
            await wire.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{")
        await asyncio.sleep(30)

    engine.script = endless
    delays: list[float] = []
    for number in range(5):
        _, writer = await gateway.connect()
        writer.write(request("POST", PATH, CHAT | {"stream": stream}, key=gateway.key))
        await until(lambda number=number: len(engine.asked) > number)
        await asyncio.sleep(0.1)
        left = asyncio.get_running_loop().time()
        writer.transport.abort()
        await until(lambda number=number: len(engine.aborted) > number, 5)
        delays.append(engine.aborted[-1][1] - left)
    assert min(delays) < 0.05
    assert sorted(delays)[2] < 0.2, delays
    for record in await gateway.recorded(5):
        assert record["outcome"] == "canceled"


async def test_clients_and_engines_that_vanish_at_any_moment_leave_no_trace(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    """Also in the very moment in which something is written to them."""
    chance = random.Random(3)

    async def restless(wire: Wire, asked: Any) -> None:
        await answer_normally(wire, asked)
        if chance.random() < 0.2:
            await wire.cut()

    engine.script = restless

    async def client() -> None:
        for _ in range(15):
            _, writer = await gateway.connect()
            data = request("POST", PATH, CHAT | {"stream": chance.random() < 0.5}, key=gateway.key)
            writer.write(data * chance.randrange(1, 5))
            await asyncio.sleep(chance.random() * 0.01)
            writer.transport.abort()

    await asyncio.gather(*(client() for _ in range(30)))
    engine.script = answer_normally
    for _ in range(5):
        assert (await gateway.ask(PATH, CHAT)).status == 200
    await gateway.shipped()
    counts = Counter(record["request_id"] for record in control.usage)
    assert max(counts.values()) == 1
    assert len(counts) >= len(engine.asked)
    assert {record["outcome"] for record in control.usage} <= {"ok", "canceled", "unavailable"}
    await until(lambda: not any(control.beats[-1]["inflight"].values()))


async def test_a_client_that_half_closes_still_gets_its_answer(gateway: GatewayProcess, engine: Engine) -> None:
    """`curl` and `nc` may shut down their writing side; that is either an end or no end, but never a hang."""
    reader, writer = await gateway.connect()
    writer.write(request("POST", PATH, CHAT, key=gateway.key))
    writer.write_eof()
    text = await asyncio.wait_for(reader.read(), 5)
    assert text == b"" or text.startswith(b"HTTP/1.1 200")
    writer.close()


async def test_an_engine_that_says_nothing_is_given_up(
    control: ControlPlane, secret: str, tmp_path: Path, engine: Engine
) -> None:
    async def silent(wire: Wire, asked: Any) -> None:
        await asyncio.sleep(60)

    engine.script = silent
    async with run_gateway(tmp_path / "g", control, secret, limits={"first_byte_seconds": 1.0}) as gateway:
        answer = await gateway.ask(PATH, CHAT)
        assert answer.status == 504
        await until(lambda: len(engine.aborted) == 1)


async def test_requests_spread_over_replicas(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> None:
    async def slowly(wire: Wire, asked: Any) -> None:
        await asyncio.sleep(0.1)
        await answer_normally(wire, asked)

    async with second(control, gateway, engine) as other:
        engine.script = other.script = slowly
        await asyncio.gather(*(gateway.ask(PATH, CHAT) for _ in range(40)))
        assert abs(len(engine.asked) - len(other.asked)) <= 4


async def test_a_replica_that_leaves_the_table_finishes_its_requests(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    go_on = asyncio.Event()

    async def waits(wire: Wire, asked: Any) -> None:
        await wire.start()
        await wire.event({"choices": []})
        await go_on.wait()
        await wire.event("[DONE]")
        await wire.end()

    engine.script = waits
    reader, writer = await gateway.connect()
    writer.write(request("POST", PATH, STREAM, key=gateway.key))
    assert (await read_head(reader)).status == 200
    assert control.table is not None
    control.publish(replace(control.table, etag="2", routes=[]))
    await gateway.with_table("2")
    await until(lambda: control.beats[-1]["inflight"].get("rep_a") == 1)
    go_on.set()
    while await read_chunk(reader):
        pass
    await until(lambda: not control.beats[-1]["inflight"].get("rep_a"))
    writer.write(request("POST", PATH, CHAT, key=gateway.key))
    assert (await read_answer(reader)).status == 404
    writer.close()
