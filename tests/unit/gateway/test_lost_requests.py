"""A request whose engine dies under it: tried once more elsewhere, never on a third; an idle connection is no death."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from tests.support.clock import FakeClock
from tests.support.control_plane import ControlPlane
from tests.support.gateway_bench import Bench
from tests.support.gateway_process import GatewayProcess, route_to, until
from tests.support.openai_engine import Engine, Script, Wire, answer_normally, run_engine

PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}


def dies_of(engine: Engine) -> Script:
    """An engine whose process ends on a request that says `die`."""

    async def script(wire: Wire, asked: Any) -> None:
        if asked.json().get("user") != "die":
            return await answer_normally(wire, asked)
        await engine.stop()
        await wire.cut()

    return script


@pytest.fixture
async def engines(gateway: GatewayProcess, control: ControlPlane, engine: Engine) -> AsyncIterator[list[Engine]]:
    """Four replicas of `demo`."""
    assert control.table is not None
    async with AsyncExitStack() as stack:
        more = [await stack.enter_async_context(run_engine(engine.path.with_name(f"{name}.sock"))) for name in "bcd"]
        found = [engine, *more]
        for one in found:
            one.script = dies_of(one)
        control.publish(replace(control.table, etag="2", routes=[route_to(found)]))
        await gateway.with_table("2")
        yield found


async def warm(gateway: GatewayProcess, engines: list[Engine]) -> None:
    """Every replica gets a request, so that there is an idle connection to each."""
    together = asyncio.Event()

    async def waits(wire: Wire, asked: Any) -> None:
        await together.wait()
        await answer_normally(wire, asked)

    scripts = [engine.script for engine in engines]
    for engine in engines:
        engine.script = waits
    asking = [asyncio.ensure_future(gateway.ask(PATH, CHAT)) for _ in engines]
    await until(lambda: all(engine.asked for engine in engines))
    together.set()
    assert [(await one).status for one in asking] == [200] * len(engines)
    for engine, script in zip(engines, scripts, strict=True):
        engine.script = script


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
async def test_a_request_that_ends_its_engine_ends_two_at_most(
    gateway: GatewayProcess, engines: list[Engine], pooled: bool, stream: bool
) -> None:
    if pooled:
        await warm(gateway, engines)
    answer = await gateway.ask(PATH, CHAT | {"user": "die", "stream": stream})
    dead = [engine for engine in engines if not engine.path.exists()]
    assert len(dead) == 2
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "Two replicas" in answer.json()["error"]["message"]
    for _ in range(5):
        assert (await gateway.ask(PATH, CHAT)).status == 200, "the others serve on"
    records = await gateway.recorded(6 + 4 * pooled)
    assert sorted(record["outcome"] for record in records) == ["ok"] * (5 + 4 * pooled) + ["unavailable"]


async def test_connections_that_were_idle_for_too_long_are_no_loss(
    gateway: GatewayProcess, engines: list[Engine]
) -> None:
    """Every engine closes its idle connections at the moment in which they are used again."""
    await warm(gateway, engines)

    def closes_idle(engine: Engine) -> Script:
        async def script(wire: Wire, asked: Any) -> None:
            if engine.connections < 2:
                await wire.cut()
            await answer_normally(wire, asked)

        return script

    for engine in engines:
        engine.script = closes_idle(engine)
    for _ in range(12):
        assert (await gateway.ask(PATH, CHAT)).status == 200
    assert {engine.connections for engine in engines} <= {1, 2}
    assert any(engine.connections == 2 for engine in engines)


def lose(bench: Bench) -> None:
    """The engine's idle connection, which has just been used, ends."""
    bench.ask(PATH, messages=[{"role": "user", "content": "Hi"}])
    assert bench.engine_wire.written


async def answered(bench: Bench, condition: Callable[[], Any]) -> bytes:
    await until(condition)
    return bench.client_wire.written


async def test_a_used_connection_that_ends_late_is_a_death_without_another_look(bench: Bench, clock: FakeClock) -> None:
    lose(bench)
    clock.advance(2)
    bench.engine.connection_lost(None)
    assert bench.client_wire.written.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in bench.client_wire.written
    assert b"ended; try again" in bench.client_wire.written


async def test_a_used_connection_that_ends_with_its_engine_is_a_death(bench: Bench) -> None:
    lose(bench)
    bench.engine.connection_lost(None)
    assert not bench.client_wire.written, "the engine is asked for another connection first"
    written = await answered(bench, lambda: bench.client_wire.written)
    assert written.startswith(b"HTTP/1.1 503 ")
    assert b"ended; try again" in written
    assert [record["outcome"] for record in bench.records()] == ["unavailable"]
