"""What a gateway tells of the present: only while somebody looks, the last minute alone, and what limits are used."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.support.clock import FakeClock
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, entry_of, until
from tests.support.openai_engine import Engine, Wire, answer_normally

from aicp.core.live import LiveSeries, Watched
from aicp.core.route import KeyEntry, LimitsEntry, PriceEntry, RouteTable, ScopeEntry, Total, Totals
from aicp.gateway.accounts import Accounts
from aicp.gateway.budgets import Budgets
from aicp.gateway.loads import Load
from aicp.gateway.metrics import Metrics
from aicp.gateway.present import Present
from aicp.gateway.record import Record

PATH = "/v1/chat/completions"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
ALL = Watched(traffic=True, scopes=True)


def record(at: datetime, **fields: Any) -> Record:
    base = Record("req_1", "k", "p", "demo", PATH, stream=True, started_at=at, outcome="ok", status=200, duration_ms=20)
    for name, value in fields.items():
        setattr(base, name, value)
    return base


def present(metrics: Metrics, clock: FakeClock, loads: list[Load] | None = None) -> Present:
    return Present(metrics, lambda: loads or [], Accounts(), Budgets(), clock)


def test_the_last_minute_is_told_and_nothing_before_it(clock: FakeClock) -> None:
    metrics = Metrics()
    looks = present(metrics, clock)
    series = metrics.series("demo", "default")
    for second in range(200):
        series.count(record(clock.now(), prompt_tokens=10, ttft_ms=15, outcome="ok" if second % 10 else "rejected"))
        clock.advance(1)
        looks.look(clock.monotonic())
    report = looks.report(ALL)
    (row,) = report.series
    assert 60 <= report.seconds <= 63
    assert (row.requests, row.prompt_tokens) == (report.seconds, 10 * report.seconds)
    assert sum(row.ttft) == row.requests
    assert row.ttft[report.bounds.index(0.02)] == row.requests
    assert 6 <= row.errors <= 7
    for _ in range(70):
        clock.advance(1)
        looks.look(clock.monotonic())
    assert looks.report(ALL).series == [], "a service that is idle is not told"


def test_a_gateway_that_has_just_started_reckons_with_the_time_since_then(clock: FakeClock) -> None:
    metrics = Metrics()
    looks = present(metrics, clock, [Load("demo", "demo", 4, 3, {"default": 1}), Load("free", "free", None, 0, {})])
    clock.advance(5)
    metrics.series("demo", "default").count(record(clock.now()))
    metrics.series("demo", "default").open = 4
    report = looks.report(Watched(traffic=True))
    assert report.seconds == 5
    assert [(row.requests, row.running, row.waiting) for row in report.series] == [(1, 3, 1)]
    assert [(route.route, route.places, route.used) for route in report.routes] == [("demo", 4, 3)]
    assert looks.report(Watched(scopes=True)).series == []


def test_use_of_limits_tells_the_store_s_count_and_the_own_apart(clock: FakeClock) -> None:
    limits = LimitsEntry(rpm=10, tpm=1000, concurrency=5, tokens_per_day=10_000, budget_per_month=9_000_000)
    keys = [KeyEntry("k", "d", "p", limits=limits), KeyEntry("idle", "d", "p", limits=limits)]
    table = RouteTable("1", "", keys, projects=[ScopeEntry("p", LimitsEntry(tokens_per_month=50), parent="o")])
    accounts, budgets = Accounts(), Budgets()
    for books in (accounts, budgets):
        books.swap(table)
        books.take(Totals(clock.now().timestamp(), 1, {"key:k": Total(7, 70)}, {"key:k": Total(1, 2_000_000)}))
    now, at = clock.monotonic(), clock.now().astimezone(UTC)
    grant = accounts.reserve(accounts.of(keys[0]), 100, 50, now, at)
    purchase = budgets.buy(budgets.of(keys[0]), PriceEntry(1_000_000, 0, 1_000_000), (100, 50), at)
    assert purchase is not None
    looks = Present(Metrics(), list, accounts, budgets, clock)

    def used() -> dict[str, dict[str, tuple[int, int]]]:
        scopes = looks.report(Watched(scopes=True)).scopes
        return {
            scope: {name: (use.shared, use.own) for name, use in limits.items()} for scope, limits in scopes.items()
        }

    assert used() == {
        "key:k": {
            "rpm": (0, 1),
            "tpm": (0, 150),
            "concurrency": (0, 1),
            "tokens_per_day": (7, 150),
            "budget_per_month": (2_000_000, 150),
        },
        "project:p": {"tokens_per_month": (0, 150)},
    }
    ended = record(at, prompt_tokens=20, completion_tokens=5, cost_micros=25, replica_id="r")
    grant.close(ended, now, 2)
    purchase.close(ended, 2)
    assert used()["key:k"] == {
        "rpm": (0, 1),
        "tpm": (0, 25),
        "concurrency": (0, 0),
        "tokens_per_day": (7, 25),
        "budget_per_month": (2_000_000, 25),
    }


async def test_the_process_tells_it_with_its_beats_and_only_while_somebody_looks(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, secret: str
) -> None:
    assert control.table is not None
    key = replace(entry_of(secret), priority="interactive", limits=LimitsEntry(rpm=10, concurrency=2))
    control.publish(replace(control.table, etag="2", keys=[key]))
    await gateway.with_table("2")
    go_on = asyncio.Event()

    async def slowly(wire: Wire, asked: Any) -> None:
        if asked.json()["messages"][0]["content"] == "slow":
            await go_on.wait()
        await answer_normally(wire, asked)

    engine.script = slowly
    assert (await gateway.ask(PATH, CHAT | {"stream": True})).status == 200
    slow = asyncio.ensure_future(gateway.ask(PATH, CHAT | {"messages": [{"role": "user", "content": "slow"}]}))
    await until(lambda: len(engine.asked) == 2)
    assert not any("live" in beat for beat in control.beats)
    control.watched = {"traffic": True, "scopes": True}
    await until(lambda: "live" in control.beats[-1])
    live = control.beats[-1]["live"]
    (row,) = live["series"]
    assert LiveSeries(**row).running == 1
    assert (row["service"], row["priority"], row["requests"], row["completion_tokens"]) == ("demo", "interactive", 1, 3)
    assert sum(row["ttft"]) == 1
    used = live["scopes"][f"key:{key.id}"]
    assert used == {"rpm": {"shared": 0, "own": 2}, "concurrency": {"shared": 0, "own": 1}}
    control.watched = {}
    seen = len(control.beats) + 1
    await until(lambda: len(control.beats) > seen)
    assert "live" not in control.beats[-1]
    go_on.set()
    assert (await slow).status == 200
