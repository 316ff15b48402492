"""Budgets in money: never overspent by requests at once, counted once over batches, totals and crashes."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, entry_of, until
from tests.support.openai_engine import Engine, Wire

from aicp.core.money import money_text, to_micros
from aicp.core.route import KeyEntry, LimitsEntry, PriceEntry, RouteTable, ScopeEntry, Total, Totals
from aicp.gateway.budgets import Budgets, Purchase
from aicp.gateway.errors import ApiError
from aicp.gateway.prices import cost_of
from aicp.gateway.record import Record
from aicp.gateway.scopes import Today

AT = datetime(2026, 3, 31, 23, 59, 0, tzinfo=UTC)
PRICE = PriceEntry(input=1_000_000, cached_input=500_000, output=4_000_000)
"""A millionth for a token of input, four for one of output."""
CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
PATH = "/v1/chat/completions"
COST = 3 * 10 + 4 * 5 + 3 * 100
"""Of an answer of the test's engine by DEAR: 7 tokens of input, 4 of them cached, and 3 of output."""
DEAR = PriceEntry(input=10_000_000, cached_input=5_000_000, output=100_000_000)


def budgets_of(
    key: LimitsEntry | None, project: LimitsEntry | None = None, organization: LimitsEntry | None = None
) -> tuple[Budgets, KeyEntry]:
    entry = KeyEntry("k", "digest", "p", limits=key)
    budgets = Budgets()
    budgets.swap(
        RouteTable(
            "1",
            "",
            [entry],
            [],
            projects=[ScopeEntry("p", project, "o")],
            organizations=[ScopeEntry("o", organization)],
            currency="EUR",
        )
    )
    return budgets, entry


def record_of(cost: int, at: datetime = AT) -> Record:
    return Record("r", "k", "p", "s", "/v1/x", False, at, "rep", status=200, outcome="ok", cost_micros=cost)


def begun(budgets: Budgets, entry: KeyEntry, prompt: int, output: int = 0, at: datetime = AT) -> Purchase:
    return budgets.reserve(budgets.of(entry), PRICE, prompt, output, at)


def refused(budgets: Budgets, entry: KeyEntry, prompt: int, output: int = 0, at: datetime = AT) -> ApiError:
    with pytest.raises(ApiError) as caught:
        begun(budgets, entry, prompt, output, at)
    assert (caught.value.status, caught.value.code) == (429, "insufficient_quota")
    return caught.value


def test_cost_is_rounded_to_the_nearest_millionth() -> None:
    price = PriceEntry(input=150_000, cached_input=15_000, output=600_000)
    assert cost_of(price, 1_000_000, 400_000, 500_000) == 90_000 + 6_000 + 300_000
    assert [cost_of(price, tokens, 0, 0) for tokens in (1, 3, 4, 10)] == [0, 0, 1, 2]
    assert cost_of(price, 2, 9, 0) == cost_of(price, 2, 2, 0), "more cannot be cached than was sent"


@given(st.integers(0, 10**15))
def test_an_amount_in_words_is_the_amount(micros: int) -> None:
    number, currency = money_text(micros, "TWD").split()
    assert (to_micros(Decimal(number)), currency) == (micros, "TWD")
    assert len(number.partition(".")[2]) >= 2


def test_the_refusal_says_whose_budget_what_is_spent_and_when_it_begins_anew() -> None:
    budgets, entry = budgets_of(LimitsEntry(budget_per_month=10_000_000), LimitsEntry(budget_per_day=2_500_000))
    begun(budgets, entry, 2_000_000).close(record_of(2_000_000), 1)
    error = refused(budgets, entry, 600_000)
    assert error.message == (
        "The project 'p' may spend 2.50 EUR a day (UTC) and has spent 2.00 EUR; this request could go beyond. "
        "The budget begins anew at 2026-04-01T00:00:00Z, in 61 s."
    )
    assert error.retry_after == 61
    begun(budgets, entry, 500_000)


def test_what_is_reserved_counts_until_the_cost_is_known_and_takes_from_all_or_none() -> None:
    budgets, entry = budgets_of(LimitsEntry(budget_per_day=100), None, LimitsEntry(budget_per_day=60))
    first = begun(budgets, entry, 20, 10)
    assert "The organization 'o'" in refused(budgets, entry, 1).message
    first.close(record_of(15), 1)
    begun(budgets, entry, 45).close(record_of(40), 1)
    refused(budgets, entry, 6)
    key, organization = budgets.of(entry)
    assert [purse.overdraft(5, AT.timestamp(), Today().at(AT.timestamp())) for purse in (key, organization)] == [
        None,
        None,
    ]


def test_a_request_dearer_than_a_budget_passes_alone_and_spent_is_spent() -> None:
    budgets, entry = budgets_of(LimitsEntry(budget_per_day=100))
    begun(budgets, entry, 5000).close(record_of(100), 1)
    refused(budgets, entry, 0, 0)
    free = PriceEntry(0, 0, 0)
    budgets.reserve(budgets.of(entry), free, 5000, 5000, AT).close(record_of(0), 1)


def test_days_and_months_begin_anew_and_the_store_s_total_counts() -> None:
    budgets, entry = budgets_of(LimitsEntry(budget_per_day=100, budget_per_month=150))
    budgets.take(Totals(AT.timestamp(), 0, {"key:k": Total(10**6, 10**6)}, spent={"key:k": Total(90, 90)}))
    assert "a day" in refused(budgets, entry, 11).message
    tomorrow = datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC)
    begun(budgets, entry, 95, at=tomorrow).close(record_of(95, tomorrow), 1)
    assert "a day" in refused(budgets, entry, 6, at=tomorrow).message
    assert "a month" in refused(budgets, entry, 60, at=datetime(2026, 4, 2, tzinfo=UTC)).message


def test_budgets_follow_the_table_and_what_was_spent_outlives_it() -> None:
    budgets, entry = budgets_of(LimitsEntry(budget_per_day=100))
    begun(budgets, entry, 50).close(record_of(50), 1)
    table = RouteTable("2", "", [replace(entry, limits=LimitsEntry(budget_per_day=60, rpm=1))], [])
    budgets.swap(table)
    refused(budgets, entry, 11)
    budgets.swap(replace(table, keys=[replace(entry, limits=LimitsEntry(rpm=1))]))
    assert (budgets.of(entry), budgets.has_quotas) == ((), False)


@dataclass
class World:
    """A store, a log of segments, and the budgets of one gateway process after the other."""

    most: int
    counted: int = 0
    sequence: int = 0
    segment: int = 1
    log: dict[int, list[Record]] = field(default_factory=dict)
    kept: Totals = field(default_factory=lambda: Totals(0.0, 0, {}))
    open: list[tuple[Purchase, int]] = field(default_factory=list)
    spent: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """As after kill -9: what was open is gone, what was logged and is not in the kept totals is counted again."""
        self.open.clear()
        self.budgets, self.entry = budgets_of(LimitsEntry(budget_per_day=self.most))
        self.budgets.take(self.kept)
        for segment, records in self.log.items():
            if segment > self.kept.sequence:
                self.budgets.recover(segment, records)

    def begin(self, prompt: int) -> None:
        try:
            self.open.append((begun(self.budgets, self.entry, prompt), prompt))
        except ApiError:
            reserved = sum(estimate for _, estimate in self.open)
            assert self.spent + reserved + prompt > self.most, "refused although there was room"

    def end(self, share: float) -> None:
        if self.open:
            purchase, estimate = self.open.pop(0)
            cost = int(min(estimate, self.most) * share)
            self.log.setdefault(self.segment, []).append(record_of(cost))
            purchase.close(record_of(cost), self.segment)
            self.spent += cost

    def ship(self) -> None:
        self.counted += sum(record.cost_micros or 0 for record in self.log.get(self.segment, []))
        self.sequence, self.segment = self.segment, self.segment + 1

    def ask(self) -> None:
        totals = Totals(AT.timestamp(), self.sequence, {}, spent={"key:k": Total(self.counted, self.counted)})
        self.kept = totals
        self.budgets.take(totals)


STEPS = st.one_of(
    st.tuples(st.just("begin"), st.integers(1, 400)),
    st.tuples(st.just("end"), st.floats(0, 1)),
    st.sampled_from([("ship",), ("ask",), ("restart",)]),
)


@given(st.integers(1, 1000), st.lists(STEPS, max_size=80))
def test_no_order_of_requests_batches_totals_and_crashes_overspends_or_forgets(most: int, steps: list[Any]) -> None:
    world = World(most)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
        assert world.spent <= most
        (purse,) = world.budgets.of(world.entry)
        calendar = Today().at(AT.timestamp())
        known = purse._quota.used(AT.timestamp(), calendar.first_of_month)
        assert known == (world.spent, world.spent)


async def limit(gateway: GatewayProcess, control: ControlPlane, limits: LimitsEntry, price: PriceEntry | None) -> None:
    """Gives the test's key a budget and its model a price, and returns when the gateway knows both."""
    assert control.table is not None
    etag = f"{control.table.etag}+"
    routes = [replace(route, price=price if route.name == "demo" else None) for route in control.table.routes]
    key = replace(entry_of(gateway.key), limits=limits)
    control.publish(replace(control.table, etag=etag, keys=[key], routes=routes))
    await gateway.with_table(etag)
    kept = gateway.directory / "routes.json"
    await until(lambda: kept.exists() and etag in kept.read_text())


async def test_a_row_keeps_the_cost_of_the_price_it_began_with(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    assert (await gateway.ask(PATH, CHAT)).status == 200
    await limit(gateway, control, LimitsEntry(), DEAR)
    assert (await gateway.ask(PATH, CHAT)).status == 200
    go_on = asyncio.Event()

    async def slow(wire: Wire, asked: Any) -> None:
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "He"}}]})
        await go_on.wait()
        await wire.event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
        await wire.event("[DONE]")
        await wire.end()

    engine.script = slow
    streaming = asyncio.ensure_future(gateway.ask(PATH, CHAT | {"stream": True}))
    await until(lambda: len(engine.asked) == 3)
    await limit(gateway, control, LimitsEntry(), PriceEntry(1, 1, 1))
    go_on.set()
    assert (await streaming).status == 200
    rows = await gateway.recorded(3)
    assert [row["cost_micros"] for row in rows] == [None, COST, 110]


async def test_sixty_four_clients_cannot_overspend_and_a_model_without_a_price_is_served(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    await limit(gateway, control, LimitsEntry(budget_per_day=10 * COST), DEAR)
    answers = await asyncio.gather(*(gateway.ask(PATH, CHAT) for _ in range(64)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() == {200, 429}
    while (answer := await gateway.ask(PATH, CHAT)).status == 200:
        statuses[200] += 1
    assert 5 <= statuses[200] <= 10
    error = answer.json()["error"]
    assert (error["code"], "may spend 0.0035 USD a day" in error["message"]) == ("insufficient_quota", True)
    assert f"has spent {money_text(statuses[200] * COST, 'USD')}" in error["message"]
    assert (await gateway.ask("/v1/embeddings", {"model": "embed", "input": "x"})).status == 200


@pytest.mark.parametrize("control_lives", [True, False])
async def test_a_budget_holds_over_kill_9_with_and_without_a_control_plane(
    gateway: GatewayProcess, control: ControlPlane, control_lives: bool
) -> None:
    await limit(gateway, control, LimitsEntry(budget_per_month=6 * COST), DEAR)
    if not control_lives:
        await control.stop()
    served = 0
    while (answer := await gateway.ask(PATH, CHAT)).status == 200:
        served += 1
        assert served <= 6
    assert answer.json()["error"]["code"] == "insufficient_quota"
    assert served >= 3
    await gateway.stop(signal.SIGKILL)
    await gateway.start()
    assert (await gateway.ask(PATH, CHAT)).status == 429
    if not control_lives:
        await control.start()
    await gateway.recorded(served + 2)
    await gateway.shipped()
    asked = control.paths.total()
    await until(lambda: control.paths.total() > asked + 3)
    assert (await gateway.ask(PATH, CHAT)).status == 429
    assert sum(row["cost_micros"] or 0 for row in control.usage) == served * COST
