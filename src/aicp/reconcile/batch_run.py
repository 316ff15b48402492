"""One batch in progress: its lines without a result are run, and each result is written once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path

from aicp.artifacts.batch_results import BatchResults
from aicp.core.batch import Batch, BatchState, RequestCounts
from aicp.core.bell import Bell
from aicp.core.errors import AicpError
from aicp.reconcile.batch_calls import GatewayCalls, KeyEndedError
from aicp.reconcile.batch_lines import EXPIRED, BatchLine, Outcome, read, result
from aicp.store.batches import Batches
from aicp.store.database import Database

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 64
_BEAT_SECONDS = 1.0
_WRITE_AHEAD = 256


class End(Enum):
    """How a run came to its end."""

    ALL_DONE = auto()
    KEY_ENDED = auto()
    EXPIRED = auto()
    STOPPED = auto()
    """It is to be cancelled: its state says so."""


class BatchRun:
    """Runs until all lines are done, the window has closed, or the batch is asked to stop."""

    def __init__(
        self, batch: Batch, source: Path, results: BatchResults, calls: GatewayCalls, database: Database, bell: Bell
    ) -> None:
        self._batch, self._source, self._results, self._calls = batch, source, results, calls
        self._database, self._bell, self._clock = database, bell, calls.clock
        self._brake = calls.brake()
        self._written: tuple[RequestCounts, str | None] | None = None

    @property
    def counts(self) -> RequestCounts:
        """How far it is."""
        return RequestCounts(
            total=self._batch.counts.total, completed=self._results.completed, failed=self._results.failed
        )

    async def run(self) -> End:
        """Raises AicpError when results or progress cannot be written; it may be run again then."""
        work = asyncio.create_task(self._work(), name=f"batch {self._batch.id}")
        try:
            while not (await asyncio.wait({work}, timeout=_BEAT_SECONDS))[0]:
                if self._clock.now() >= self._batch.expires_at:
                    await _end(work)
                    await self._expire()
                    return End.EXPIRED
                if await self._beat() is not BatchState.IN_PROGRESS:
                    return End.STOPPED
            return await work
        finally:
            await _end(work)

    async def _work(self) -> End:
        """Workers take lines from one iterator, so that no more of the file is held than is under way."""
        workers = min(_MOST_AT_ONCE, self._calls.room.requests, max(1, self.counts.total))
        try:
            with self._source.open("rb") as source:
                lines = read(source, self._results.done)
                async with asyncio.TaskGroup() as group:
                    for _ in range(workers):
                        group.create_task(self._take(lines))
        except BaseExceptionGroup as errors:
            _, others = errors.split(KeyEndedError)
            if others is not None:
                raise _first(others) from None
            return End.KEY_ENDED
        return End.ALL_DONE

    async def _take(self, lines: Iterator[BatchLine]) -> None:
        for line in lines:
            name = f"{self._batch.id}.{line.number}"
            batch = self._batch
            outcome = await self._calls.call(batch.api_key_id, batch.endpoint, line, name, self._brake)
            self._add(line, outcome)

    def _add(self, line: BatchLine, outcome: Outcome) -> None:
        self._results.add(line.custom_id, result(self._batch.id, line, outcome), answered=outcome.answered)

    async def _beat(self) -> BatchState:
        """Writes progress; answers the batch's state of now. A database that is away is asked again later."""
        now = (self.counts, self._brake.reason)
        try:
            if now != self._written:
                async with self._database.transaction() as tx:
                    await Batches(tx).progress(self._batch.id, *now)
                self._written = now
                self._bell.ring("batch", self._batch.id)
            async with self._database.snapshot() as tx:
                return (await Batches(tx).get(self._batch.id)).state
        except AicpError as error:
            log.warning("batch %s: its progress cannot be written now (%s)", self._batch.id, error.message)
            return BatchState.IN_PROGRESS

    async def _expire(self) -> None:
        """Every line without a result gets one that says so."""
        with self._source.open("rb") as source:
            for number, line in enumerate(read(source, self._results.done)):
                self._add(line, Outcome(error=EXPIRED))
                if number % _WRITE_AHEAD == 0:
                    await asyncio.sleep(0)  # others run too


async def _end(work: asyncio.Task[End]) -> None:
    """Ends requests that are under way; the gateway and the engine hear of it by their connections."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()  # looked at, so that nobody warns of it


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
