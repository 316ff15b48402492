"""The generic loop: failures pause one action, become known, and end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from tests.support.clock import FakeClock

from aicp.core.bell import Bell
from aicp.core.errors import UnavailableError
from aicp.reconcile.loop import Failure, Loop


@dataclass
class Counter:
    """Wants every name of `wanted` done once."""

    wanted: list[str]
    broken: set[str] = field(default_factory=set)
    blind: bool = False
    done: list[str] = field(default_factory=list)
    failures: list[tuple[str | None, Failure]] = field(default_factory=list)
    recoveries: list[str | None] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "counter"
    interval_seconds: float = 30.0
    bells: Sequence[str] = ("service",)

    async def observe(self) -> list[str]:
        self.looked.set()
        if self.blind:
            raise UnavailableError("The database does not answer.")
        return [name for name in self.wanted if name not in self.done]

    def decide(self, world: list[str], now: datetime) -> Sequence[str]:
        return world

    async def act(self, action: str) -> None:
        if action in self.broken:
            raise UnavailableError(f"{action} is broken")
        self.done.append(action)

    async def failed(self, action: str | None, failure: Failure) -> None:
        self.failures.append((action, failure))

    async def recovered(self, action: str | None) -> None:
        self.recoveries.append(action)


async def test_one_broken_action_does_not_hold_up_the_others(clock: FakeClock):
    counter = Counter(["a", "b", "c"], broken={"b"})
    loop = Loop(counter, Bell(), clock)
    assert await loop.step() == 2
    assert counter.done == ["a", "c"]
    [(action, failure)] = counter.failures
    assert (action, failure.message, failure.attempts) == ("b", "b is broken", 1)


async def test_a_failing_action_pauses_twice_as_long_each_time(clock: FakeClock):
    counter = Counter(["a"], broken={"a"})
    loop = Loop(counter, Bell(), clock)
    begun = clock.monotonic()
    tried: list[float] = []
    for _ in range(200):
        before = len(counter.failures)
        await loop.step()
        tried.extend(clock.monotonic() - begun for _ in counter.failures[before:])
        clock.advance(1)
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert [failure.attempts for _, failure in counter.failures] == list(range(1, 10))
    counter.broken.clear()
    clock.advance(60)
    await loop.step()
    assert (counter.done, counter.recoveries) == (["a"], ["a"])


async def test_an_observation_that_fails_is_known_and_ends(clock: FakeClock):
    counter = Counter(["a"], blind=True)
    loop = Loop(counter, Bell(), clock)
    assert await loop.step() == 0
    assert counter.failures[0][0] is None
    counter.blind = False
    assert await loop.step() == 1
    assert counter.recoveries == [None]


async def test_a_bell_shortens_the_wait(clock: FakeClock):
    counter = Counter([])
    bell = Bell()
    task = asyncio.create_task(Loop(counter, bell, clock).run())
    try:
        async with asyncio.timeout(5):
            await counter.looked.wait()
            counter.wanted.append("a")
            counter.looked.clear()
            await asyncio.sleep(0)
            bell.ring("service")
            await counter.looked.wait()
    finally:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counter.done == ["a"]
