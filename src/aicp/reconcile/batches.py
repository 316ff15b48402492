"""The batch loop: checks what was ordered, runs it, and makes files of what came.

Level-triggered: at every look each batch that has not ended gets a task, which goes on from the batch's state and from
what lies on the disk. So a crash at any moment costs the requests that were under way, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from aicp.artifacts.batch_results import BatchResults
from aicp.artifacts.files import FileContents
from aicp.core.batch import FINISHED_BATCH_STATES, MAX_LINE_BYTES, Batch, BatchProblem, BatchState, RequestCounts
from aicp.core.bell import Bell
from aicp.core.errors import AicpError
from aicp.core.file import File, FilePurpose
from aicp.core.ids import new_id
from aicp.reconcile.batch_calls import GatewayCalls
from aicp.reconcile.batch_lines import Checked, check
from aicp.reconcile.batch_run import BatchRun, End
from aicp.store.api_keys import ApiKeys
from aicp.store.batches import Batches
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.files import Files

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_AGAIN_SECONDS = 5.0
_MOST_OF_A_PROJECT = 8
_KEY_ENDED = BatchProblem(code="key_ended", message="The batch's key was revoked or has expired.")
_INPUT_GONE = BatchProblem(code="input_gone", message="The input file is gone from the platform's disk.")


class BatchLoop:
    """Runs all batches of this platform; one loop a database."""

    def __init__(self, database: Database, bell: Bell, contents: FileContents, calls: GatewayCalls) -> None:
        self._database, self._bell, self._contents, self._calls = database, bell, contents, calls
        self._clock = calls.clock
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Works until canceled; then batches stop where they are and go on at the next start."""
        try:
            with self._bell.subscription("batch") as rings:
                while True:
                    await self._look()
                    await Bell.wait(rings, _LOOK_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self) -> None:
        try:
            async with self._database.snapshot() as tx:
                batches = await Batches(tx).unfinished()
        except AicpError as error:
            log.warning("no batch can be begun now: %s", error.message)
            return
        running = Counter(batch.project for batch in batches if batch.id in self._tasks)
        for batch in batches:
            if batch.id not in self._tasks and running[batch.project] < _MOST_OF_A_PROJECT:
                running[batch.project] += 1
                task = asyncio.create_task(self._go_on(batch.id), name=f"batch {batch.id}")
                self._tasks[batch.id] = task
                task.add_done_callback(lambda _, batch_id=batch.id: self._forget(batch_id))

    def _forget(self, batch_id: str) -> None:
        self._tasks.pop(batch_id, None)
        self._bell.ring("batch", batch_id)

    async def _go_on(self, batch_id: str) -> None:
        """Step by step to the end of a batch. What fails is tried again; nothing is given up but by its window."""
        while True:
            try:
                async with self._database.snapshot() as tx:
                    batch = await Batches(tx).get(batch_id)
                if batch.state in FINISHED_BATCH_STATES:
                    return
                await self.step(batch)
                self._bell.ring("batch", batch_id)
            except AicpError as error:
                log.warning("batch %s waits: %s", batch_id, error.message)
                await asyncio.sleep(_AGAIN_SECONDS)
            except Exception:
                log.exception("batch %s failed unexpectedly and is tried again", batch_id)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def step(self, batch: Batch) -> None:
        """One step onward. Every step may be done again after a crash in it. Raises AicpError."""
        match batch.state:
            case BatchState.VALIDATING:
                await self._check(batch)
            case BatchState.IN_PROGRESS:
                await self._run(batch)
            case BatchState.FINALIZING:
                await self._close(batch, BatchState.COMPLETED)
            case BatchState.CANCELLING:
                await self._close(batch, BatchState.CANCELLED)
            case _:
                raise AssertionError(f"{batch.state} is the end of a batch")

    async def _check(self, batch: Batch) -> None:
        try:
            found = await asyncio.to_thread(_look_over, self._contents.path(batch.input_file_id), batch)
        except FileNotFoundError:
            found = Checked(0, None, [_INPUT_GONE])
        state = BatchState.FAILED if found.problems else BatchState.IN_PROGRESS
        problems = [problem.model_dump() for problem in found.problems]
        model = None if found.model is None else found.model[:200]
        await self._move(batch, state, total=found.total, model=model, problems=problems)

    async def _run(self, batch: Batch) -> None:
        source = self._contents.path(batch.input_file_id)
        with await self._results(batch) as results:
            try:
                end = await BatchRun(batch, source, results, self._calls, self._database, self._bell).run()
            except FileNotFoundError:
                await self._close(batch, BatchState.FAILED, _INPUT_GONE, results)
                return
            if end is End.ALL_DONE:
                counts = _counts(batch, results)
                await self._move(batch, BatchState.FINALIZING, **counts.model_dump())
            elif end is End.EXPIRED:
                await self._close(batch, BatchState.EXPIRED, None, results)
            elif end is End.KEY_ENDED and await self._key_ended(batch):
                await self._close(batch, BatchState.FAILED, _KEY_ENDED, results)
            elif end is End.KEY_ENDED:  # the gateway does not know it yet
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _key_ended(self, batch: Batch) -> bool:
        async with self._database.snapshot() as tx:
            key = await ApiKeys(tx).find(batch.api_key_id)
        over = key is not None and key.expires_at is not None and key.expires_at <= self._clock.now()
        return key is None or key.revoked_at is not None or over

    async def _close(
        self,
        batch: Batch,
        state: BatchState,
        problem: BatchProblem | None = None,
        results: BatchResults | None = None,
    ) -> None:
        """Makes files of what came and ends the batch, in one transaction."""
        if results is None:
            with await self._results(batch) as opened:
                return await self._close(batch, state, problem, opened)
        output, error = new_id("file"), new_id("file")
        paths = self._contents.path(output), self._contents.path(error)
        sizes = await asyncio.to_thread(results.finish, *paths)
        made = [
            self._file(batch, file_id, kind, size)
            for file_id, kind, size in zip((output, error), ("output", "error"), sizes, strict=True)
        ]
        values = _counts(batch, results).model_dump()
        values |= {"output_file_id": made[0] and output, "error_file_id": made[1] and error}
        if problem is not None:
            values["problems"] = [problem.model_dump()]
        # after an error nobody knows what was committed: what has no row is cleaned up later
        if await self._move(batch, state, files=[file for file in made if file is not None], **values):
            await asyncio.to_thread(results.remove)
        else:
            for file_id in (output, error):
                await asyncio.to_thread(self._contents.remove, file_id)
        return None

    def _file(self, batch: Batch, file_id: str, kind: str, size: int) -> File | None:
        now, life = self._clock.now(), batch.output_seconds
        if not size:
            return None
        return File(
            id=file_id,
            project=batch.project,
            purpose=FilePurpose.BATCH_OUTPUT,
            filename=f"{batch.id}_{kind}.jsonl",
            size_bytes=size,
            created_by=batch.id,
            created_at=now,
            expires_at=None if life is None else now + timedelta(seconds=life),
        )

    async def _move(self, batch: Batch, state: BatchState, *, files: Sequence[File] = (), **values: object) -> bool:
        """Moves the batch, with its files; False when somebody moved it first, which the next step looks at."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            if not await Batches(tx).move(batch.id, batch.state, state, now, **values):
                return False
            for file in files:
                await Files(tx).create(file)
            if state in FINISHED_BATCH_STATES:
                severity = "info" if state in (BatchState.COMPLETED, BatchState.CANCELLED) else "warning"
                message = f"Batch {batch.id}: {state.value}."
                await Events(tx).note(
                    now, f"batch.{state}", "batch", batch.id, message, project=batch.project, severity=severity
                )
        if files:
            self._bell.ring("file")
        return True

    async def _results(self, batch: Batch) -> BatchResults:
        return await asyncio.to_thread(BatchResults, self._contents.work, batch.id)


def _counts(batch: Batch, results: BatchResults) -> RequestCounts:
    return RequestCounts(total=batch.counts.total, completed=results.completed, failed=results.failed)


def _look_over(path: Path, batch: Batch) -> Checked:
    with path.open("rb") as source:
        # a longer line is told by its first piece
        return check(iter(lambda: source.readline(MAX_LINE_BYTES + 2), b""), batch.endpoint)
