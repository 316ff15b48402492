"""Queues through the gateway's own process: what waits, goes on, is put back, is refused, and how it is counted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import TOKEN, ControlPlane, run_control
from tests.support.gateway_process import GatewayProcess, entry_of, new_secret, route_to, table_of, until
from tests.support.http_wire import Asked, read_head, request
from tests.support.openai_engine import Engine, Wire, answer_normally, run_engine

from aicp.core.route import RouteEntry

PATH = "/v1/chat/completions"


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **fields}


def text_of(asked: Asked) -> str:
    return asked.json()["messages"][0]["content"]


def texts(engine: Engine) -> list[str]:
    return [text_of(asked) for asked in engine.asked]


def with_places(route: RouteEntry, places: int) -> RouteEntry:
    return replace(route, targets=[replace(target, max_requests=places) for target in route.targets])


class Doors:
    """A script: requests with a text are answered when their door is opened, streams after a first piece."""

    def __init__(self) -> None:
        self.doors: dict[str, asyncio.Event] = {}

    async def __call__(self, wire: Wire, asked: Asked) -> None:
        door = self.doors.setdefault(text_of(asked), asyncio.Event())
        if not asked.json().get("stream"):
            await door.wait()
            await answer_normally(wire, asked)
            return
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "He"}}]})
        await door.wait()
        await wire.event("[DONE]")
        await wire.end()

    def open(self, text: str) -> None:
        self.doors.setdefault(text, asyncio.Event()).set()


@pytest.fixture
def doors(engine: Engine) -> Doors:
    """What the engine does."""
    found = engine.script = Doors()
    return found


@pytest.fixture
def batch_secret() -> str:
    """A key of the lowest class."""
    return new_secret()


@pytest.fixture
async def control(engine: Engine, secret: str, batch_secret: str) -> AsyncIterator[ControlPlane]:
    """One route with one place; the test's key is interactive, another one batch."""
    keys = [
        replace(entry_of(secret), priority="interactive"),
        replace(entry_of(batch_secret), priority="batch"),
    ]
    async with run_control(table_of([with_places(route_to([engine]), 1)], keys)) as running:
        yield running


async def waiting(gateway: GatewayProcess) -> int:
    """How many wait, as the gateway tells it."""
    text = (await gateway.ask("/metrics", method="GET", key=TOKEN)).body.decode()
    lines = [line for line in text.splitlines() if line.startswith("aicp_gateway_num_requests_waiting{")]
    return sum(int(line.split()[-1]) for line in lines)


async def until_waiting(gateway: GatewayProcess, count: int) -> None:
    async with asyncio.timeout(10):
        while True:
            if await waiting(gateway) == count:
                return
            await asyncio.sleep(0.01)


async def test_the_second_waits_for_the_first_and_both_are_counted(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors
) -> None:
    first = asyncio.ensure_future(gateway.ask(PATH, chat("a")))
    await until(lambda: engine.asked)
    second = asyncio.ensure_future(gateway.ask(PATH, chat("b")))
    await until_waiting(gateway, 1)
    connections = engine.connections
    await asyncio.sleep(0.1)
    assert (texts(engine), engine.connections) == (["a"], connections), "who waits holds no connection to an engine"
    doors.open("b")
    doors.open("a")
    assert [(await asked).status for asked in (first, second)] == [200, 200]
    records = {record["queue_ms"] is None: record for record in await gateway.recorded(2)}
    assert records[True]["outcome"] == records[False]["outcome"] == "ok"
    assert 100 <= records[False]["queue_ms"] <= records[False]["duration_ms"]
    text = (await gateway.ask("/metrics", method="GET", key=TOKEN)).body.decode()
    assert 'aicp_gateway_request_queue_time_seconds_count{service="demo",class="interactive"} 1' in text


async def test_a_client_that_leaves_while_it_waits_costs_the_engine_nothing(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors
) -> None:
    first = asyncio.ensure_future(gateway.ask(PATH, chat("a")))
    await until(lambda: engine.asked)
    _, writer = await gateway.connect()
    writer.write(request("POST", PATH, chat("b"), key=gateway.key))
    await until_waiting(gateway, 1)
    writer.close()
    await until_waiting(gateway, 0)
    doors.open("a")
    assert (await first).status == 200
    outcomes = sorted(record["outcome"] for record in await gateway.recorded(2))
    assert (outcomes, texts(engine)) == (["canceled", "ok"], ["a"])


async def test_a_request_that_was_told_nothing_gives_way_and_its_client_sees_nothing_of_it(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors, batch_secret: str
) -> None:
    low = asyncio.ensure_future(gateway.ask(PATH, chat("low"), key=batch_secret))
    await until(lambda: engine.asked)
    high = asyncio.ensure_future(gateway.ask(PATH, chat("high")))
    await until(lambda: texts(engine) == ["low", "high"])
    await until(lambda: [text_of(asked) for asked, _ in engine.aborted] == ["low"])
    doors.open("low")
    doors.open("high")
    assert [(await asked).status for asked in (high, low)] == [200, 200]
    assert texts(engine) == ["low", "high", "low"]
    records = {record["api_key_id"]: record for record in await gateway.recorded(2)}
    assert [record["outcome"] for record in records.values()] == ["ok", "ok"]
    low_record = records[entry_of(batch_secret).id]
    assert 0 < low_record["queue_ms"] < low_record["duration_ms"]


async def test_nothing_is_taken_from_a_stream_that_has_begun(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors, batch_secret: str
) -> None:
    reader, writer = await gateway.connect()
    writer.write(request("POST", PATH, chat("low", stream=True), key=batch_secret))
    assert (await read_head(reader)).status == 200
    high = asyncio.ensure_future(gateway.ask(PATH, chat("high")))
    await until_waiting(gateway, 1)
    assert not engine.aborted
    doors.open("high")
    doors.open("low")
    assert b"[DONE]" in await reader.readuntil(b"0\r\n\r\n")
    assert (await high).status == 200
    writer.close()


async def test_a_deadline_is_kept_to_the_millisecond_and_a_wrong_one_refused(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors
) -> None:
    first = asyncio.ensure_future(gateway.ask(PATH, chat("a", stream=True)))
    await until(lambda: engine.asked)
    answer = await gateway.ask(PATH, chat("b"), headers={"x-slo-ttft-ms": "150"})
    assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    for header in ({"x-slo-ttft-ms": "soon"}, {"x-priority": "highest"}):
        answer = await gateway.ask(PATH, chat("b"), headers=header)
        assert (answer.status, answer.json()["error"]["param"]) == (400, *header)
    records = await gateway.recorded(3)
    waited = [record["duration_ms"] for record in records if record["outcome"] == "unavailable"]
    assert 140 <= waited[0] <= 600
    doors.open("a")
    assert (await first).status == 200


async def test_a_replica_that_becomes_ready_takes_what_waits_at_once(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors, tmp_path: Path
) -> None:
    first = asyncio.ensure_future(gateway.ask(PATH, chat("a")))
    await until(lambda: engine.asked)
    second = asyncio.ensure_future(gateway.ask(PATH, chat("b")))
    await until_waiting(gateway, 1)
    async with run_engine(tmp_path / "b.sock") as other:
        assert control.table is not None
        routes = [with_places(route_to([engine, other]), 1)]
        control.publish(replace(control.table, etag="2", routes=routes))
        assert (await second).status == 200
        assert (texts(engine), texts(other)) == (["a"], ["b"])
        doors.open("a")
        assert (await first).status == 200
    await gateway.with_table("2")


async def test_what_waits_for_a_route_that_goes_is_told_so(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors
) -> None:
    first = asyncio.ensure_future(gateway.ask(PATH, chat("a")))
    await until(lambda: engine.asked)
    second = asyncio.ensure_future(gateway.ask(PATH, chat("b")))
    await until_waiting(gateway, 1)
    assert control.table is not None
    control.publish(replace(control.table, etag="2", routes=[]))
    answer = await second
    assert (answer.status, answer.json()["error"]["code"]) == (503, "model_not_ready")
    doors.open("a")
    assert (await first).status == 200


async def test_a_gateway_that_ends_answers_what_waits_and_finishes_what_runs(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, doors: Doors
) -> None:
    first = asyncio.ensure_future(gateway.ask(PATH, chat("a")))
    await until(lambda: engine.asked)
    second = asyncio.ensure_future(gateway.ask(PATH, chat("b")))
    await until_waiting(gateway, 1)
    ending = asyncio.ensure_future(gateway.stop(signal.SIGTERM))
    answer = await second
    assert (answer.status, answer.json()["error"]["code"]) == (503, "shutting_down")
    doors.open("a")
    assert (await first).status == 200
    assert await ending == 0
    assert sorted(record["outcome"] for record in control.usage) == ["ok", "unavailable"]
    assert texts(engine) == ["a"]


async def test_places_come_back_however_a_request_ends(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    async def cut(wire: Wire, asked: Asked) -> None:
        if text_of(asked) == "stream":
            await wire.start()
            await wire.event({"choices": []})
        if text_of(asked) == "hang":
            await asyncio.sleep(60)
        if text_of(asked) == "wrong":
            return await wire.json({"error": {"message": "no"}}, 400)
        if text_of(asked) == "busy":
            return await wire.json({"error": {"message": "no"}}, 503)
        await wire.cut()

    engine.script = cut
    assert (await gateway.ask(PATH, chat("wrong"))).status == 400
    assert (await gateway.ask(PATH, chat("busy"))).status == 503
    assert (await gateway.ask(PATH, chat("cut"))).status == 503
    assert b"error" in (await gateway.ask(PATH, chat("stream", stream=True))).body
    _, writer = await gateway.connect()
    writer.write(request("POST", PATH, chat("hang"), key=gateway.key))
    await until(lambda: texts(engine)[-1] == "hang")
    writer.close()
    engine.script = answer_normally
    answers = [await gateway.ask(PATH, chat("well"), headers={"x-slo-ttft-ms": "2000"}) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
