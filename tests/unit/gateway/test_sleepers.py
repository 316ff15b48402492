"""A request to a service that sleeps: held, the control plane told at once, answered when there is a replica."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.clock import FakeClock
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, until
from tests.support.http_wire import Answer, request
from tests.support.openai_engine import Engine

from aicp.core.route import ArmEntry, ChoiceEntry, KeyEntry, RouteEntry, WakeEntry
from aicp.gateway import sleepers as module
from aicp.gateway.api_keys import Key, KeyRing
from aicp.gateway.errors import ApiError
from aicp.gateway.routes import Route, Table
from aicp.gateway.shortage import Shortage
from aicp.gateway.sleepers import Asleep, Sleepers
from aicp.gateway.waiting import supplied

PATH = "/v1/chat/completions"
BODY = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}


async def sleep(control: ControlPlane, gateway: GatewayProcess, wake: WakeEntry | None, etag: str = "asleep") -> None:
    """The route `demo` has no replica any more."""
    table = control.table
    assert table is not None
    asleep = [replace(item, targets=[], wake=wake, scales=True, reason="sleeping") for item in table.routes[:1]]
    control.publish(replace(table, etag=etag, routes=[*asleep, *table.routes[1:]]))
    await gateway.with_table(etag)


def wake_up(control: ControlPlane, engine: Engine, etag: str = "awake") -> None:
    """There is a replica again."""
    table = control.table
    assert table is not None
    targets = table.routes[1].targets
    control.publish(replace(table, etag=etag, routes=[replace(table.routes[0], targets=targets), *table.routes[1:]]))


def told(control: ControlPlane) -> dict[str, Any]:
    """What the last heartbeat says of `demo`."""
    return control.beats[-1]["loads"].get("demo", {}) if control.beats else {}


def begin(answer: Awaitable[Answer]) -> asyncio.Task[Answer]:
    return asyncio.ensure_future(answer)


async def test_a_held_request_is_answered_when_there_is_a_replica(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await sleep(control, gateway, WakeEntry(30))
    began = time.monotonic()
    asked = [begin(gateway.ask(PATH, BODY)) for _ in range(3)]
    await until(lambda: told(control).get("held"))
    assert time.monotonic() - began < 1
    await until(lambda: told(control).get("held") == 3)
    assert not any(task.done() for task in asked)
    wake_up(control, engine)
    assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 3
    await until(lambda: told(control) and told(control)["held"] == 0)
    assert told(control)["used_at"] == pytest.approx(time.time(), abs=10)
    await until(lambda: len(control.usage) == 3)
    assert {record["outcome"] for record in control.usage} == {"ok"}


async def test_beyond_the_longest_wait_it_is_told_when_to_come_again(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    await sleep(control, gateway, WakeEntry(0.5))
    answer = await gateway.ask(PATH, BODY)
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    error = answer.json()["error"]
    assert error["code"] == "model_waking"
    assert error["message"] == (
        "The model 'demo' was asleep and did not wake within 0.5 s (sleeping). Try again in 10 s."
    )
    # it wakes for nobody: the next one comes later, and is served
    assert told(control)["held"] == 1


async def test_where_waking_takes_longer_than_a_request_may_wait_it_wakes_all_the_same(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    await sleep(control, gateway, WakeEntry(5, wake_seconds=40))
    began = time.monotonic()
    answer = await gateway.ask(PATH, BODY)
    assert time.monotonic() - began < 3
    assert (answer.status, answer.headers["retry-after"]) == (503, "40")
    assert "wakes now, which takes about 40 s; requests wait 5 s for it at most" in answer.json()["error"]["message"]
    await until(lambda: told(control).get("held"))


async def test_the_wake_time_is_added_to_what_the_caller_would_wait(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    await sleep(control, gateway, WakeEntry(60, wake_seconds=1))
    began = time.monotonic()
    answer = await gateway.ask(PATH, BODY, headers={"x-slo-ttft-ms": "500"})
    assert answer.status == 503
    assert 1.4 < time.monotonic() - began < 4


async def test_one_whose_client_leaves_gives_its_place_back(gateway: GatewayProcess, control: ControlPlane) -> None:
    await sleep(control, gateway, WakeEntry(30))
    _, writer = await gateway.connect()
    writer.write(request("POST", PATH, BODY, key=gateway.key))
    await until(lambda: told(control).get("held"))
    writer.close()
    await until(lambda: told(control).get("held") == 0, seconds=10)
    await until(lambda: control.usage)
    assert control.usage[0]["outcome"] == "canceled"


async def test_a_wrong_request_is_refused_before_it_waits(gateway: GatewayProcess, control: ControlPlane) -> None:
    await sleep(control, gateway, WakeEntry(30))
    answer = await gateway.ask(PATH, {**BODY, "priority": 3})
    assert answer.status == 400
    assert not told(control).get("held")


async def test_a_stopped_service_is_waited_for_by_nobody(gateway: GatewayProcess, control: ControlPlane) -> None:
    await sleep(control, gateway, WakeEntry(30))
    asked = begin(gateway.ask(PATH, BODY))
    await until(lambda: told(control).get("held"))
    await sleep(control, gateway, None, "stopped")
    answer = await asked
    assert (answer.status, answer.json()["error"]["code"]) == (503, "model_not_ready")


async def test_a_gateway_that_ends_tells_who_waits(gateway: GatewayProcess, control: ControlPlane) -> None:
    await sleep(control, gateway, WakeEntry(30))
    asked = begin(gateway.ask(PATH, BODY))
    await until(lambda: told(control).get("held"))
    assert await gateway.stop(signal.SIGTERM) == 0
    answer = await asked
    assert (answer.status, answer.json()["error"]["code"]) == (503, "shutting_down")


async def test_a_killed_gateway_answers_nothing_and_the_next_one_serves(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await sleep(control, gateway, WakeEntry(30))
    asked = begin(gateway.ask(PATH, BODY))
    await until(lambda: told(control).get("held"))
    assert await gateway.stop(signal.SIGKILL) == -signal.SIGKILL
    with pytest.raises((ConnectionError, EOFError)):
        await asked
    await gateway.start()
    again = begin(gateway.ask(PATH, BODY))
    await until(lambda: told(control).get("held"))
    wake_up(control, engine)
    assert (await again).status == 200


async def test_a_choice_of_sleepers_wakes_the_first(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    table = control.table
    assert table is not None
    asleep = replace(table.routes[0], targets=[], wake=WakeEntry(30), scales=True)
    choice = ChoiceEntry("both", None, [ArmEntry("demo", 9), ArmEntry("gone", 1)])
    control.publish(replace(table, etag="choice", routes=[asleep, *table.routes[1:]], choices=[choice]))
    await gateway.with_table("choice")
    asked = begin(gateway.ask(PATH, {**BODY, "model": "both"}))
    await until(lambda: told(control).get("held"))
    wake_up(control, engine)
    assert (await asked).status == 200


def make_sleepers(clock: FakeClock) -> tuple[Sleepers, Route, Key, list[str]]:
    found, rung = Sleepers(clock), list[str]()
    found.hurry = lambda: rung.append("now")
    entry = RouteEntry("demo", "demo", None, "chat", "e", "demo", [PATH], [], [], wake=WakeEntry(30))
    return found, Route(entry, ()), Key(KeyEntry("k", "d", "default")), rung


async def test_what_is_held_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 2)
    found, route, key, rung = make_sleepers(clock)
    waits: list[asyncio.Future[None]] = []

    def come(size: int = 10) -> ApiError:
        error = found.refuse_or_hold(route, key, 60, size, lambda: None)
        if isinstance(error, Asleep):
            waits.append(asyncio.ensure_future(error.wait()))
        return error

    for _ in range(2):
        assert isinstance(come(), Asleep)
        await asyncio.sleep(0)
    refused = come()
    assert not isinstance(refused, Asleep)
    assert (refused.status, refused.retry_after, refused.code) == (503, 10, "model_waking")
    assert (found.held(), rung) == ({"demo": 2}, ["now"])
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    assert not isinstance(come(64 * 2**20 + 1), Asleep)
    assert found.held() == {"demo": 1}  # the refused one is told of for a moment
    clock.advance(4)
    assert found.held() == {}


def hold(found: Sleepers, route: Route, key: Key, size: int = 10) -> Asleep:
    error = found.refuse_or_hold(route, key, 60, size, lambda: None)
    assert isinstance(error, Asleep), error
    return error


def table_of(route: Route) -> Table:
    return Table("new", KeyRing("cGVwcGVycGVwcGVycGVwcGVy", []), [route])


async def test_a_table_that_comes_before_the_wait_begins_is_not_missed(clock: FakeClock) -> None:
    found, route, key, _ = make_sleepers(clock)
    asleep = hold(found, route, key)
    found.follow(table_of(route))
    assert found.held() == {"demo": 1}, "it sleeps in that table, too"
    found.follow(table_of(Route(replace(route.entry, wake=None), ())))
    await asyncio.wait_for(asleep.wait(), 1)
    assert found.held() == {}


async def test_an_end_that_comes_before_the_wait_begins_is_not_missed(clock: FakeClock) -> None:
    found, route, key, _ = make_sleepers(clock)
    asleep = hold(found, route, key)
    found.drain()
    with pytest.raises(ApiError) as ended:
        await asyncio.wait_for(asleep.wait(), 1)
    assert ended.value.code == "shutting_down"


async def test_many_that_come_at_one_moment_stay_within_the_bounds(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, route, key, _ = make_sleepers(clock)
    hold(found, route, key, 60 * 2**20)
    assert not isinstance(found.refuse_or_hold(route, key, 60, 5 * 2**20, lambda: None), Asleep)
    monkeypatch.setattr(module, "MOST_HELD", 1)
    assert not isinstance(found.refuse_or_hold(route, key, 60, 1, lambda: None), Asleep)
    assert found.held() == {"demo": 1}


async def test_one_that_never_begins_to_wait_gives_its_place_back(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNCLAIMED_SECONDS", 0.01)
    found, route, key, _ = make_sleepers(clock)
    late = hold(found, route, key, 60 * 2**20)
    begun = asyncio.ensure_future(hold(found, route, key).wait())
    clock.advance(4)
    await until(lambda: found.held() == {"demo": 1})
    await asyncio.wait_for(late.wait(), 1)  # one that comes after all is judged anew
    hold(found, route, key, 60 * 2**20)
    assert not begun.done()
    begun.cancel()


async def test_a_limit_after_the_wake_is_waited_for_as_briefly_as_ever(clock: FakeClock) -> None:
    found, route, key, _ = make_sleepers(clock)
    tries: list[float] = []

    async def a_moment() -> None:
        await asyncio.sleep(0.01)

    def go_on() -> None:
        tries.append(time.monotonic())
        raise Shortage(ApiError(429, "too many", code="rate_limited"), a_moment)

    asleep = found.refuse_or_hold(route, key, 60, 1, go_on)
    assert isinstance(asleep, Asleep)
    found.follow(table_of(Route(replace(route.entry, wake=None), ())))
    with pytest.raises(Shortage) as raised:
        await asyncio.wait_for(supplied(asleep), 5)
    assert raised.value.status == 429
    assert 0.1 < tries[-1] - tries[0] < 1


def test_what_never_sleeps_is_refused_as_always(clock: FakeClock) -> None:
    found, route, key, rung = make_sleepers(clock)
    awake = Route(replace(route.entry, wake=None), ())
    error = found.refuse_or_hold(awake, key, 60, 1, lambda: None)
    assert (error.status, error.code, rung, found.held()) == (503, "model_not_ready", [], {})
