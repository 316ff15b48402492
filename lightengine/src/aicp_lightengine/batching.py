"""Dynamic batching: whatever waits when the computing thread becomes free is computed together.

Nobody is made to wait for company: a request that comes alone is computed at once, and those that come meanwhile form
the next batch. So a batch grows with the load and costs nothing without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from aicp_lightengine.errors import Refused

T = TypeVar("T")
R = TypeVar("R")
_RETRY_SECONDS = 5


@dataclass(eq=False)
class _Waiting(Generic[T, R]):
    item: T
    size: int
    answer: asyncio.Future[R]


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest batch: so many items, and so many tokens when each is as long as the longest.

    No more than `waiting` items wait for a batch, as many as the largest request has: the pairs of two lists of texts.
    """

    items: int
    tokens: int
    waiting: int = 8192


@dataclass
class Batcher(Generic[T, R]):
    """Computes items in batches on `executor`. `size` is an item's length; `compute` answers one result for each item.

    All batchers of a process share one executor of one thread, so that several models do not fight for the cores.
    """

    compute: Callable[[list[T]], Sequence[R]]
    size: Callable[[T], int]
    limits: Limits
    executor: Executor
    batches: int = 0
    computed: int = 0
    _waiting: list[_Waiting[T, R]] = field(default_factory=list)
    _work: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return len(self._waiting)

    async def run(self, items: Sequence[T]) -> list[R]:
        """The results of all items, in their order. Canceled, it takes its items back.

        Raises what `compute` raises, and Refused when too much waits already.
        """
        self._admit(len(items))
        loop = asyncio.get_running_loop()
        mine = [_Waiting[T, R](item, self.size(item), loop.create_future()) for item in items]
        self._waiting += mine
        if self._work is None or self._work.done():
            self._work = loop.create_task(self._compute_all())
        try:
            return [await entry.answer for entry in mine]
        finally:
            for entry in mine:
                entry.answer.cancel()

    def _admit(self, count: int) -> None:
        if len(self._waiting) + count > self.limits.waiting:
            self._forget_canceled()
        if len(self._waiting) + count > self.limits.waiting:
            raise Refused(
                503,
                f"{len(self._waiting)} items wait already, and at most {self.limits.waiting} may. Try again later.",
                retry_after=_RETRY_SECONDS,
            )

    def _forget_canceled(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry.answer.done()]

    async def _compute_all(self) -> None:
        while self._waiting:
            self._forget_canceled()
            if self._waiting:
                await self._compute_one()

    async def _compute_one(self) -> None:
        batch = choose(self._waiting, self.limits)
        taken = set(map(id, batch))
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        items = [entry.item for entry in batch]
        self.batches += 1
        self.computed += len(items)
        try:
            results = await asyncio.get_running_loop().run_in_executor(self.executor, self.compute, items)
        except Exception as error:
            for entry in batch:
                if not entry.answer.done():
                    entry.answer.set_exception(error)
            return
        for entry, result in zip(batch, results, strict=True):
            if not entry.answer.done():
                entry.answer.set_result(result)


def choose(waiting: Sequence[_Waiting[T, R]], limits: Limits) -> list[_Waiting[T, R]]:
    """The oldest item, then those of most similar length while the padded batch stays within the limits.

    The oldest is always taken, so nothing waits for ever; similar lengths keep the padding, which is computed, small.
    """
    oldest = waiting[0]
    others = sorted(waiting[1:], key=lambda entry: abs(entry.size - oldest.size))
    chosen, longest = [oldest], oldest.size
    for entry in others:
        wider = max(longest, entry.size)
        if len(chosen) >= limits.items or wider * (len(chosen) + 1) > limits.tokens:
            break
        chosen.append(entry)
        longest = wider
    return chosen
