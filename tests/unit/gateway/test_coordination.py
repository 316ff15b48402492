"""Limits over several processes: never more than the limit, nearly all of it, whatever dies.

On a shared file, and on a real Redis server whose script has the test's clock.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.clock import FakeClock
from tests.support.redis_server import RedisServer
from tests.support.sharing import AT, KEY, Process, World, redis_at, shared_file, table_with

from aicp.core.route import LimitsEntry, PriceEntry
from aicp.gateway.accounts import Grant
from aicp.gateway.config import SharingRules
from aicp.gateway.coordination import LostCoordinator
from aicp.gateway.errors import ApiError
from aicp.gateway.record import Record
from aicp.gateway.sharing import make_sharing
from aicp.gateway.shortage import Shortage

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 3)),
        st.tuples(st.just("sleep"), st.floats(3, 70)),
        st.tuples(st.just("round"), st.integers(0, 2)),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.just("request"), st.integers(0, 2)),
        st.tuples(st.just("burst"), st.integers(0, 2)),
    ),
    max_size=80,
)
Make = Callable[[LimitsEntry, int], World]


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.redis)])
def world(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes processes that share limits at a fresh place."""
    worlds: list[World] = []
    server: RedisServer | None = request.getfixturevalue("redis_server") if request.param == "redis" else None

    def make(limits: LimitsEntry, count: int = 3) -> World:
        while worlds:
            worlds.pop().close()
        folder, clock = Path(tempfile.mkdtemp(dir=place)), FakeClock()
        if server is not None:
            server.empty()
        connect = shared_file(folder, clock) if server is None else redis_at(server.url, folder, clock)
        worlds.append(World(connect, limits, clock, count))
        worlds[0].rounds()
        clock.advance(2)  # a new server grants nothing at first
        return worlds[0]

    with tempfile.TemporaryDirectory() as place:
        yield make
        while worlds:
            worlds.pop().close()


def play(world: World, steps: list[tuple[str, float]]) -> None:
    for step, value in steps:
        if step in ("wait", "sleep"):
            world.clock.advance(value)
        elif step == "round":
            world.round(int(value))
        elif step == "kill":
            world.kill(int(value))
        else:
            for _ in range(9 if step == "burst" else 1):
                world.request(int(value))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(1, 40))
def test_no_minute_holds_more_than_the_limit_whoever_asks_and_dies(
    world: Make, steps: list[tuple[str, float]], most: int
) -> None:
    made = world(LimitsEntry(rpm=most), 3)
    play(made, steps)
    assert made.busiest_minute() <= most


WORK = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "begin", "end", "end", "wait", "sleep", "round", "round", "kill"]),
        st.integers(0, 2),
        st.floats(0, 1),
    ),
    max_size=90,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORK, st.integers(20, 200), st.integers(1, 5))
def test_no_minute_holds_more_tokens_and_no_moment_more_requests(
    world: Make, steps: list[tuple[str, int, float]], tokens: int, places: int
) -> None:
    made = world(LimitsEntry(tpm=tokens, concurrency=places), 3)
    running: list[list[tuple[Grant, int]]] = [[], [], []]
    used: list[tuple[float, int]] = []
    for step, index, value in steps:
        now = made.clock.monotonic()
        if step == "begin":
            try:
                size = min(int(value * 60) + 1, tokens)  # one that is larger than a whole limit may begin alone
                running[index].append((made.processes[index].reserve(size, 0), size))
            except ApiError:
                continue
        elif step == "end" and running[index]:
            grant, size = running[index].pop(0)
            made.processes[index].end(grant, int(size * value), 0)
            used.append((now, int(size * value)))
        elif step == "kill":
            made.kill(index)
            running[index].clear()
        elif step == "round":
            made.round(index)
        elif step in ("wait", "sleep"):
            made.clock.advance(value if step == "wait" else value * 20)
        assert sum(map(len, running)) <= places
    assert all(sum(count for at, count in used if start <= at < start + 60) <= tokens for start, _ in used)


@pytest.mark.parametrize(("most", "pattern"), [(2, "even"), (30, "turns"), (30, "one"), (240, "turns")])
def test_under_demand_nearly_all_of_a_limit_is_used(world: Make, most: int, pattern: str) -> None:
    made = world(LimitsEntry(rpm=most), 3)
    demand(made, most, pattern, seconds=150)
    assert made.busiest_minute() <= most
    # it is there for the first minute at once, and again after 61 seconds and what a round takes
    assert len(made.let) >= 0.95 * most * 150 / 60


def demand(world: World, most: int, pattern: str, seconds: int) -> None:
    """Twice what is allowed, in steps of 50 ms, at one process, at all, or at each for ten seconds."""
    owed, rate = 0.0, max(2 * most / 60, 1.0)
    which: dict[str, Callable[[int], int]] = {
        "even": lambda step: step % 3,
        "one": lambda _: 1,
        "turns": lambda step: step // 200 % 3,
    }
    for step in range(seconds * 20):
        world.clock.advance(0.05)
        owed += rate * 0.05
        while owed >= 1:
            owed -= 1
            world.request(which[pattern](step))
        if step % 2:
            world.rounds()


def test_nobody_is_refused_while_another_holds_what_it_does_not_use(world: Make) -> None:
    made = world(LimitsEntry(rpm=100), 2)
    for _ in range(30):  # a quick pace, so that it holds some ahead
        made.clock.advance(0.05)
        made.request(0)
        made.rounds()
    (pool,) = made.processes[0].pools.active
    assert pool.free(made.clock.monotonic()) > 1
    assert made.processes[0].remaining() == 70
    for _ in range(70):
        made.request(1)
        for _ in range(3):
            made.clock.advance(0.02)
            made.rounds()
    assert (len(made.let), made.refused, made.waiting) == (100, 0, [])
    assert made.processes[1].remaining() == 0
    with pytest.raises(ApiError, match="may send 100 requests a minute") as caught:
        refused(made, 1)
    assert 1 <= (caught.value.retry_after or 0) <= 61


def refused(world: World, index: int, prompt: int = 1, output: int = 1) -> Grant:
    """Asks until it is clear; raises what the client would get."""
    until = world.clock.monotonic() + 0.25
    while True:
        try:
            return world.processes[index].reserve(prompt, output)
        except Shortage:
            if world.clock.monotonic() > until:
                raise
            world.clock.advance(0.02)
            world.rounds()


def taken(world: World, index: int, prompt: int = 1, output: int = 1) -> Grant:
    """The same for one that must pass, when the last word of its limit is not believed any more."""
    world.clock.advance(0.11)
    return refused(world, index, prompt, output)


def test_places_are_shared_given_on_at_once_and_freed_by_a_death(world: Make) -> None:
    made = world(LimitsEntry(concurrency=3), 3)
    grants = [taken(made, index) for index in range(3)]
    with pytest.raises(ApiError, match="at the same time"):
        refused(made, 0)
    made.processes[1].end(grants[1], 1, 1)
    other = taken(made, 0)  # the place that was another process's
    with pytest.raises(ApiError, match="at the same time"):
        refused(made, 1)
    made.kill(2)
    made.clock.advance(0.5)
    taken(made, 1)
    with pytest.raises(ApiError, match="at the same time"):
        refused(made, 2)
    made.processes[0].end(other, 1, 1)
    taken(made, 2)


def test_tokens_are_reserved_by_all_and_what_was_not_used_comes_back(world: Make) -> None:
    made = world(LimitsEntry(tpm=1000), 3)
    first, second = taken(made, 0, 300, 100), taken(made, 1, 300, 100)
    with pytest.raises(ApiError, match="tokens a minute"):
        refused(made, 2, 200, 100)
    made.processes[0].end(first, 50, 0)
    taken(made, 2, 200, 100)
    made.processes[1].end(second, 300, 400)  # more than it had reserved
    for _ in range(3):
        made.clock.advance(0.1)
        made.rounds()
    for index in range(3):
        with pytest.raises(ApiError, match="tokens a minute"):
            refused(made, index, 10, 0)
    made.clock.advance(30)
    for index in range(3):
        with pytest.raises(ApiError, match="tokens a minute"):
            refused(made, index, 10, 0)


def test_a_request_larger_than_a_limit_passes_alone(world: Make) -> None:
    made = world(LimitsEntry(tpm=100), 2)
    grant = taken(made, 0, 500, 0)
    with pytest.raises(ApiError):
        refused(made, 1, 1, 0)
    made.processes[0].end(grant, 500, 0)
    made.rounds()
    with pytest.raises(ApiError):
        refused(made, 1, 1, 0)
    for _ in range(64):
        made.clock.advance(1)
        made.rounds()
    taken(made, 1, 500, 0)


def test_a_quota_of_the_day_is_one_for_all(world: Make) -> None:
    made = world(LimitsEntry(tokens_per_day=1000), 3)
    for turn in range(20):
        made.processes[turn % 3].end(taken(made, turn % 3, 30, 20), 30, 20)
    for index in range(3):
        with pytest.raises(ApiError, match="1000 tokens a day"):
            taken(made, index, 1, 0)
    made.clock.advance(12 * 3600)
    taken(made, 0, 30, 20)


def test_a_budget_is_one_for_all(tmp_path: Path) -> None:
    clock, price = FakeClock(), PriceEntry(1_000_000, 1_000_000, 1_000_000)
    made = [make_sharing(SharingRules("file:../ledger"), tmp_path / str(number), clock) for number in range(3)]
    for one in made:
        one.budgets.swap(table_with(LimitsEntry(budget_per_day=100)))
    for turn in range(10):
        budgets = made[turn % 3].budgets
        purchase = budgets.buy(budgets.of(KEY), price, (5, 5), AT)
        assert purchase is not None
        record = Record("r", "k", "p", "s", "/v1/x", False, AT, "rep", status=200, cost_micros=10)
        purchase.close(record, 1)
    for one in made:
        with pytest.raises(ApiError, match=r"may spend 0\.0001 USD a day .* and has spent 0\.0001 USD"):
            one.budgets.buy(one.budgets.of(KEY), price, (1, 1), AT)


def test_a_clock_that_is_set_back_stops_nobody_and_gives_nothing_twice(world: Make) -> None:
    made = world(LimitsEntry(rpm=4), 1)
    made.clock.advance(1000)
    for _ in range(4):
        made.request(0)
        made.rounds()
    assert len(made.let) == 4
    made.clock.advance(-900)
    made.processes[0].pools.all["project:p/rpm"].dry_until = 0.0
    made.request(0)
    made.rounds()
    assert (len(made.let), made.refused) == (4, 1)
    made.clock.advance(62)
    made.processes[0].pools.all["project:p/rpm"].dry_until = 0.0
    made.rounds()
    made.request(0)
    made.rounds()
    assert len(made.let) == 5


@pytest.mark.parametrize("strict", [False, True])
def test_without_its_coordinator_a_process_holds_to_its_share_or_refuses(
    world: Make, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(LimitsEntry(rpm=10, concurrency=4), 2)
    process = made.processes[0]
    process.pools.strict = strict
    made.clock.advance(0.6)
    made.rounds()
    break_off(process, monkeypatch)
    made.clock.advance(2.1)
    made.round(0)
    assert not process.leases.connected
    if strict:
        with pytest.raises(ApiError, match="coordinator does not answer") as caught:
            process.reserve()
        assert caught.value.status == 503
        return
    grants = [process.reserve() for _ in range(2)]
    with pytest.raises(ApiError, match="at the same time"):
        process.reserve()
    for grant in grants:
        process.end(grant, 1, 1)
    for _ in range(3):
        process.end(process.reserve(), 1, 1)
    with pytest.raises(ApiError, match="10 requests a minute"):
        process.reserve()
    monkeypatch.undo()
    made.rounds()
    made.clock.advance(0.1)
    for _ in range(5):
        process.end(taken(made, 0), 1, 1)  # what it has used counts, and the rest is there
    with pytest.raises(ApiError):
        refused(made, 1)


def break_off(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise LostCoordinator("cut")

    monkeypatch.setattr(process.coordinator, "settle", lost)
    monkeypatch.setattr(process.pools, "at_once", None)


def test_what_is_used_of_a_limit_adds_up_over_the_processes(world: Make) -> None:
    made = world(LimitsEntry(rpm=30, tpm=900, concurrency=20), 2)

    def take(index: int) -> Grant:
        for _ in range(9):  # each of the limits may be short of units once
            try:
                return taken(made, index, 10, 0)
            except Shortage:
                continue
        raise AssertionError

    grants = [take(index) for index in (0, 0, 1)]
    made.processes[1].end(grants[2], 4, 0)

    def used(name: str) -> int:
        now = made.clock.monotonic()
        parts = [process.accounts.used(now, AT) for process in made.processes]
        return sum(sum(scope[name]) for process in parts for scope in process.values())

    assert (used("rpm"), used("tpm"), used("concurrency")) == (3, 24, 2)
    made.rounds()
    assert (used("rpm"), used("tpm"), used("concurrency")) == (3, 24, 2)
    made.clock.advance(61)
    assert (used("rpm"), used("tpm")) == (0, 20)
