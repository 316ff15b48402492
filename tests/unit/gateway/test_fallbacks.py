"""A destination that is dead, busy or broken: the next fallback answers under the public name, and is what counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, entry_of, route_to, until
from tests.support.http_wire import request
from tests.support.openai_engine import Engine, Script, Wire, run_engine

from aicp.core.route import ArmEntry, ChoiceEntry, LimitsEntry, PriceEntry, RouteEntry

PATH = "/v1/chat/completions"
DEAR = PriceEntry(10**9, 10**9, 10**9)
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}


def answers(status: int) -> Script:
    async def script(wire: Wire, asked: Any) -> None:
        await wire.json({"error": {"message": "no"}}, status)

    return script


async def breaks_off(wire: Wire, asked: Any) -> None:
    await wire.start()
    await wire.event({"choices": [{"index": 0, "delta": {"content": "He"}}]})
    await wire.cut()


@pytest.fixture
async def engines(engine: Engine) -> AsyncIterator[dict[str, Engine]]:
    """`first`, `second` and `third`."""
    async with AsyncExitStack() as stack:
        second, third = [
            await stack.enter_async_context(run_engine(engine.path.with_name(f"{name}.sock"))) for name in "bc"
        ]
        yield {"first": engine, "second": second, "third": third}


PATHWAY = ChoiceEntry("chat", "default", [ArmEntry("first")], ["second", "third"])
"""`chat` leads to `first`, then to the others."""


async def publish(
    gateway: GatewayProcess,
    control: ControlPlane,
    engines: dict[str, Engine],
    *,
    places: int | None = None,
    prices: Mapping[str, PriceEntry] = MappingProxyType({}),
    budget: int | None = None,
    choice: ChoiceEntry = PATHWAY,
) -> None:
    """Prices are by the engine's name, `budget` is the key's for a day."""
    assert control.table is not None
    routes = [placed(route_to([engine], name), places) for name, engine in engines.items()]
    routes = [replace(route, price=prices.get(route.name)) for route in routes]
    key = replace(entry_of(gateway.key), limits=LimitsEntry(budget_per_day=budget))
    control.publish(replace(control.table, etag="2", keys=[key], routes=routes, choices=[choice]))
    await gateway.with_table("2")


def placed(route: RouteEntry, places: int | None) -> RouteEntry:
    return replace(route, targets=[replace(target, max_requests=places) for target in route.targets])


async def served(gateway: GatewayProcess, count: int = 1) -> list[tuple[str, str]]:
    return [(record["service"], record["outcome"]) for record in await gateway.recorded(count)]


async def test_a_prompt_that_begins_with_an_empty_one_goes_on_too(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines)
    await engines["first"].stop()
    answer = await gateway.ask("/v1/completions", {"model": "chat", "prompt": ["", "x" * 300]})
    assert answer.status == 200
    assert await served(gateway) == [("second", "ok")]


@pytest.mark.parametrize("places", [None, 1])
async def test_a_dead_engine_is_passed_over(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine], places: int | None
) -> None:
    await publish(gateway, control, engines, places=places)
    await engines["first"].stop()
    for _ in range(2):  # a place is given back each time
        answer = await gateway.ask(PATH, CHAT)
        assert (answer.status, answer.json()["model"]) == (200, "chat")
    assert [asked.json()["model"] for asked in engines["second"].asked] == ["inner", "inner"]
    assert await served(gateway, 2) == [("second", "ok")] * 2


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_busy_or_broken_one_is_passed_over_also_in_a_stream(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine], status: int
) -> None:
    await publish(gateway, control, engines)
    engines["first"].script, engines["second"].script = answers(status), answers(status)
    answer = await gateway.ask(PATH, CHAT | {"stream": True})
    assert (answer.status, b'"model":"chat"' in answer.body.replace(b" ", b"")) == (200, True)
    assert answer.body.rstrip().endswith(b"[DONE]")
    assert await served(gateway) == [("third", "ok")]


async def test_a_wrong_request_is_wrong_everywhere(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines)
    engines["first"].script = answers(400)
    assert (await gateway.ask(PATH, CHAT)).status == 400
    assert not engines["second"].asked


async def test_nothing_changes_hands_after_the_first_byte(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines)
    engines["first"].script = breaks_off
    answer = await gateway.ask(PATH, CHAT | {"stream": True})
    assert b'"error"' in answer.body
    assert not engines["second"].asked
    assert await served(gateway) == [("first", "engine_error")]


async def test_when_all_fail_the_last_one_is_told(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines)
    for engine in engines.values():
        await engine.stop()
    answer = await gateway.ask(PATH, CHAT)
    assert (answer.status, "'chat'" in answer.json()["error"]["message"]) == (503, True)
    assert await served(gateway) == [("third", "unavailable")]


async def test_a_full_destination_is_passed_over(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines, places=1)

    async def silent(wire: Wire, asked: Any) -> None:
        await wire.raw(b"")
        await wire.writer.wait_closed()

    engines["first"].script = silent
    _, writer = await gateway.connect()
    try:
        writer.write(request("POST", PATH, CHAT, key=gateway.key))
        await until(lambda: engines["first"].asked)
        answer = await gateway.ask(PATH, CHAT, headers={"x-slo-ttft-ms": "50"})
    finally:
        writer.close()
    assert (answer.status, len(engines["second"].asked)) == (200, 1)


async def test_a_fallback_costs_what_it_costs_and_is_passed_over_when_the_budget_is_spent(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines, prices={"second": DEAR}, budget=1)
    await engines["first"].stop()
    for _ in range(2):  # the first is dearer than the budget and passes alone
        assert (await gateway.ask(PATH, CHAT)).status == 200
    rows = await gateway.recorded(2)
    assert [(row["service"], bool(row["cost_micros"])) for row in rows] == [("second", True), ("third", False)]


async def test_what_the_first_reserved_of_a_budget_is_there_for_its_fallback(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines, prices={"first": DEAR, "second": DEAR}, budget=1)
    await engines["first"].stop()
    assert (await gateway.ask(PATH, CHAT)).status == 200
    (row,) = await gateway.recorded(1)
    assert (row["service"], row["cost_micros"] > 1) == ("second", True)


async def test_an_arm_has_its_own_price(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    choice = ChoiceEntry("chat", "default", [ArmEntry("first"), ArmEntry("second", 10**12)])
    await publish(gateway, control, engines, prices={"first": PriceEntry(1, 1, 1), "second": DEAR}, choice=choice)
    assert (await gateway.ask(PATH, CHAT)).status == 200
    (row,) = await gateway.recorded(1)
    assert (row["service"], row["cost_micros"] > 1000) == ("second", True)


async def test_sessions_and_models_are_of_the_public_name(
    gateway: GatewayProcess, control: ControlPlane, engines: dict[str, Engine]
) -> None:
    await publish(gateway, control, engines)
    names = [model["id"] for model in (await gateway.ask("/v1/models", method="GET")).json()["data"]]
    assert names == ["chat", "first", "second", "third"]
    answer = await gateway.ask("/v1/responses", {"model": "chat", "input": "Hi"})
    assert (answer.status, answer.json()["model"]) == (200, "chat")
