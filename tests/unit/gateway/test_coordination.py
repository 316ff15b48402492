"""Limits over several processes: never more than the limit, nearly all of it, whatever dies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clock import FakeClock
from tests.support.sharing import World, shared_file

from aicp.core.route import LimitsEntry
from aicp.gateway.errors import ApiError

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


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 40))
def test_no_minute_holds_more_than_the_limit_whoever_asks_and_dies(steps: list[tuple[str, float]], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = FakeClock()
        world = World(shared_file(Path(folder), clock), LimitsEntry(rpm=most), clock)
        try:
            play(world, steps)
            assert world.busiest_minute() <= most
        finally:
            world.close()


@pytest.mark.parametrize("most", [2, 30, 600])
@pytest.mark.parametrize("pattern", ["even", "one", "turns"])
def test_under_demand_nearly_all_of_a_limit_is_used(tmp_path: Path, most: int, pattern: str) -> None:
    clock = FakeClock()
    world = World(shared_file(tmp_path, clock), LimitsEntry(rpm=most), clock)
    try:
        demand(world, most, pattern, seconds=300)
        assert world.busiest_minute() <= most
        whole = [one for one in world.let if one >= 1000.0]
        assert len(whole) >= 0.95 * most * 5
    finally:
        world.close()


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


def test_nobody_is_refused_while_another_holds_what_it_does_not_use(tmp_path: Path) -> None:
    clock = FakeClock()
    world = World(shared_file(tmp_path, clock), LimitsEntry(rpm=100), clock, count=2)
    try:
        for _ in range(30):  # a quick pace, so that it holds some ahead
            clock.advance(0.05)
            world.request(0)
            world.rounds()
        (pool,) = world.processes[0].pools.active
        spare = pool.free(clock.monotonic())
        assert spare > 1
        for _ in range(100 - 30):
            world.request(1)
            for _ in range(3):
                clock.advance(0.02)
                world.rounds()
        assert (len(world.let), world.refused, world.waiting) == (100, 0, [])
        with pytest.raises(ApiError, match="may send 100 requests a minute") as caught:
            world.processes[1].reserve()
        assert 1 <= (caught.value.retry_after or 0) <= 61
    finally:
        world.close()
