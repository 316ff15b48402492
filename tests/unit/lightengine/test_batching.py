"""Whatever waits is computed together; nobody waits for company."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from aicp_lightengine.batching import Batcher, Limits
from aicp_lightengine.errors import Refused


class Machine:
    """Computes the double of numbers; each batch is kept and waits for `go` where that is asked."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def compute(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        self.began.set()
        self.go.wait(10)
        if 13 in batch:
            raise ValueError("13")
        return [2 * item for item in batch]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def batcher(machine: Machine, executor: ThreadPoolExecutor, items: int = 8, tokens: int = 1000) -> Batcher[int, int]:
    return Batcher(machine.compute, lambda item: item, Limits(items, tokens), executor)


async def started(machine: Machine) -> None:
    """Until a batch has been taken."""
    assert await asyncio.to_thread(machine.began.wait, 10)


async def test_one_alone_is_computed_at_once(executor: ThreadPoolExecutor) -> None:
    machine = Machine()
    assert await batcher(machine, executor).run([3, 1, 2]) == [6, 2, 4]


async def test_what_comes_while_one_is_computed_makes_up_the_next(executor: ThreadPoolExecutor) -> None:
    machine = Machine()
    machine.go.clear()
    work = batcher(machine, executor)
    first = asyncio.create_task(work.run([1]))
    await started(machine)
    others = [asyncio.create_task(work.run([number])) for number in (5, 6, 7)]
    await asyncio.sleep(0)  # every task has run until it waits
    assert work.waiting == 3
    machine.go.set()
    assert await first == [2]
    assert [await other for other in others] == [[10], [12], [14]]
    assert [sorted(batch) for batch in machine.batches] == [[1], [5, 6, 7]]
    assert (work.batches, work.computed) == (2, 4)


async def test_a_batch_keeps_to_its_limits_and_takes_the_oldest_first(executor: ThreadPoolExecutor) -> None:
    machine = Machine()
    work = batcher(machine, executor, items=3, tokens=40)
    found = await work.run([10, 1, 20, 11, 2, 12])
    assert found == [20, 2, 40, 22, 4, 24]
    assert machine.batches[0][0] == 10
    assert sorted(machine.batches[0]) == [10, 11, 12], "those of like length, so that little is padded"
    assert all(len(batch) <= 3 and max(batch) * len(batch) <= 40 for batch in machine.batches)


async def test_one_larger_than_the_limit_is_computed_alone(executor: ThreadPoolExecutor) -> None:
    machine = Machine()
    assert await batcher(machine, executor, tokens=5).run([9, 1]) == [18, 2]
    assert [9] in machine.batches


async def test_a_failure_reaches_its_batch_and_the_next_goes_on(executor: ThreadPoolExecutor) -> None:
    work = batcher(Machine(), executor, items=1)
    with pytest.raises(ValueError, match="13"):
        await work.run([13])
    assert await work.run([4]) == [8]


async def test_who_gives_up_is_not_computed(executor: ThreadPoolExecutor) -> None:
    machine = Machine()
    machine.go.clear()
    work = batcher(machine, executor)
    first = asyncio.create_task(work.run([1]))
    await started(machine)
    given_up = asyncio.create_task(work.run([2]))
    await asyncio.sleep(0)
    assert work.waiting == 1
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    machine.go.set()
    assert await first == [2]
    assert await work.run([3]) == [6]
    assert machine.batches == [[1], [3]]


async def test_no_more_than_the_limit_waits_and_who_gave_up_does_not_count(executor: ThreadPoolExecutor) -> None:
    machine = Machine()
    machine.go.clear()
    work = Batcher[int, int](machine.compute, lambda item: item, Limits(items=8, tokens=1000, waiting=3), executor)
    first = asyncio.create_task(work.run([1]))
    await started(machine)
    given_up = asyncio.create_task(work.run([2, 2, 2]))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="3 items wait") as refused:
        await work.run([3])
    assert (refused.value.status, refused.value.retry_after) == (503, 5)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    third = asyncio.create_task(work.run([3]))
    await asyncio.sleep(0)
    machine.go.set()
    assert [await first, await third] == [[2], [6]]
    assert machine.batches == [[1], [3]]
