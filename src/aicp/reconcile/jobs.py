"""Runs jobs: takes queued ones, gives each to the worker of its kind, writes how far it is and how it ended."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import AicpError, ConflictError
from aicp.core.job import Job, JobProgress, JobState
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.jobs import Jobs

log = logging.getLogger(__name__)

_BEAT_SECONDS = 0.5
_PATIENCE_SECONDS = 0.3
"""How long a canceled worker may take to notice before its task is ended from outside."""
_LAST_SECONDS = 5.0
_MAX_ATTEMPTS = 5
_RATE_SECONDS = 5.0
_LOOK_SECONDS = 2.0


class JobCanceled(Exception):
    """Somebody canceled the job, or the platform stops; workers let it pass."""


class JobContext:
    """A worker's view of its job. Methods may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._progress = JobProgress()
        self._marks: list[tuple[float, float]] = []
        self._changed = False

    @property
    def canceled(self) -> bool:
        """Whether the worker should stop."""
        return self._ended.is_set()

    def check(self) -> None:
        """Raises JobCanceled when the worker should stop."""
        if self._ended.is_set():
            raise JobCanceled

    def cancel(self) -> None:
        """Makes `check` raise from now on."""
        self._ended.set()

    def phase(self, phase: str, *, total: float | None = None, unit: str = "bytes", done: float = 0) -> None:
        """Starts a new phase with `total` units of work to do."""
        with self._lock:
            self._progress = JobProgress(phase=phase, total=total, unit=unit, done=done)
            self._marks = [(self._clock.monotonic(), done)]
            self._changed = True

    def advance(self, count: float) -> None:
        """So many more units are done. Raises JobCanceled when the worker should stop."""
        self.check()
        if count:
            self.set_done(self._progress.done + count)

    def set_done(self, done: float) -> None:
        """So many units are done in all."""
        with self._lock:
            self._progress = self._progress.model_copy(update={"done": done})
            self._changed = True

    def say(self, message: str | None) -> None:
        """What is happening now, in words. Raises JobCanceled when the worker should stop."""
        self.check()
        with self._lock:
            self._progress = self._progress.model_copy(update={"message": message})
            self._changed = True

    def snapshot(self, *, always: bool = False) -> JobProgress | None:
        """The progress with rate (units a second, over the last seconds) and time left; None when nothing changed."""
        with self._lock:
            if not self._changed and not always:
                return None
            self._changed = False
            progress, now = self._progress, self._clock.monotonic()
            self._marks = [mark for mark in self._marks if now - mark[0] <= _RATE_SECONDS][-20:] or self._marks[-1:]
            self._marks.append((now, progress.done))
            began, before = self._marks[0]
        rate = (progress.done - before) / (now - began) if now > began else None
        left = (progress.total - progress.done) / rate if rate and progress.total is not None else None
        return progress.model_copy(update={"rate": rate, "seconds_left": left})


class JobWorker(Protocol):
    """Does the jobs of one kind. After a crash `run` is called again for the same job and continues or starts over."""

    kind: str

    async def run(self, job: Job, context: JobContext) -> Mapping[str, Any]:
        """Does the work; answers the job's result. Raises AicpError in the user's words."""
        ...


class JobRunner:
    """Runs up to `parallel` jobs of each kind at a time in this process: long downloads hold up no engine install.

    One runner a database."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bell: Bell,
        workers: Sequence[JobWorker],
        *,
        name: str,
        parallel: int = 2,
        after: Sequence[Callable[[Job], None]] = (),
    ) -> None:
        """`name` tells this process from an earlier one; `after` hears of every job that ended here."""
        self._database = database
        self._clock = clock
        self._bell = bell
        self._workers = {worker.kind: worker for worker in workers}
        self._name = name
        self._parallel = parallel
        self._after = after
        self._running: dict[str, asyncio.Task[None]] = {}
        self._kinds: dict[str, str] = {}
        self._contexts: dict[str, JobContext] = {}

    async def run(self) -> None:
        """Works until canceled; then running jobs stop where they are and continue at the next start."""
        lost: int | None = None
        try:
            with self._bell.subscription("job") as rings:
                while True:
                    try:
                        if lost is None:
                            lost = await self._requeue_lost()
                        await self._start_queued()
                    except AicpError as error:  # a full disk, a database that is away: what runs goes on
                        log.warning("no job can be started now: %s", error.message)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):  # unlike wait_for, never swallows a cancel
                            await rings.get()
        finally:
            await self._stop()

    async def _requeue_lost(self) -> int:
        async with self._database.transaction() as tx:
            lost = await Jobs(tx).requeue_lost(self._name)
        if lost:
            log.info("%d interrupted jobs are taken up again", lost)
        return lost

    async def _start_queued(self) -> None:
        while free := self._free_kinds():
            async with self._database.snapshot() as tx:
                if not await Jobs(tx).any_queued(free):
                    return
            async with self._database.transaction() as tx:
                job = await Jobs(tx).take_next(free, self._name, self._clock.now())
            if job is None:
                return
            self._bell.ring("job", job.id)
            task = asyncio.create_task(self._run_job(job), name=f"job {job.id}")
            self._running[job.id] = task
            self._kinds[job.id] = job.kind
            task.add_done_callback(lambda _, job_id=job.id: self._forget(job_id))

    def _free_kinds(self) -> list[str]:
        busy = Counter(self._kinds.values())
        return [kind for kind in self._workers if busy[kind] < self._parallel]

    def _forget(self, job_id: str) -> None:
        self._running.pop(job_id, None)
        self._kinds.pop(job_id, None)
        self._contexts.pop(job_id, None)
        self._bell.ring("job", job_id)

    async def _stop(self) -> None:
        for context in self._contexts.values():
            context.cancel()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_job(self, job: Job) -> None:
        context = self._contexts[job.id] = JobContext(self._clock)
        work = asyncio.create_task(self._work(job, context))
        try:
            canceled = await self._watch(job, context, work)
            state, result, error = await _outcome(work, canceled)
        finally:
            context.cancel()
            work.cancel()
            # What it still does with the database must be over before that is closed.
            await asyncio.wait({work}, timeout=_LAST_SECONDS)
        await self._finish(job, context, state, result, error)

    async def _work(self, job: Job, context: JobContext) -> Mapping[str, Any]:
        if job.attempts > _MAX_ATTEMPTS:
            raise AicpError(
                f"The job was interrupted {job.attempts - 1} times and is given up.",
                hint="Look into the log of the control process for the reason, then start it again.",
                code="interrupted",
            )
        return await self._workers[job.kind].run(job, context)

    async def _watch(self, job: Job, context: JobContext, work: asyncio.Task[Mapping[str, Any]]) -> bool:
        """Beats until the work ends; True when it was canceled."""
        while not (await asyncio.wait({work}, timeout=_BEAT_SECONDS))[0]:
            if await self._beat(job.id, context):
                context.cancel()
                await asyncio.wait({work}, timeout=_PATIENCE_SECONDS)
                work.cancel()
                return True
        return False

    async def _beat(self, job_id: str, context: JobContext) -> bool:
        """Writes progress; True when the job should stop. A database that does not answer is asked again later."""
        progress = context.snapshot()
        try:
            async with self._database.transaction() as tx:
                job = await Jobs(tx).beat(job_id, self._name, self._clock.now(), progress)
        except Exception as error:
            log.warning("job %s: no heartbeat (%s)", job_id, error)
            return False
        if progress is not None:
            self._bell.ring("job", job_id)
        return job is None or job.cancel_requested

    async def _finish(
        self,
        job: Job,
        context: JobContext,
        state: JobState,
        result: Mapping[str, Any] | None,
        error: dict[str, Any] | None,
    ) -> None:
        ended = job.model_copy(update={"state": state, "progress": context.snapshot(always=True) or job.progress})
        while True:
            try:
                await self._write_end(ended, result, error)
                break
            except AicpError as problem:
                log.warning("job %s: its end could not be written yet (%s)", job.id, problem.message)
                await asyncio.sleep(2)
            except Exception:  # what cannot be stored must not leave the job running for ever
                log.exception("job %s: its end cannot be written as it is", job.id)
                ended = ended.model_copy(update={"state": JobState.FAILED})
                await self._write_end(ended, None, _describe(_UNEXPECTED))
                break
        for hear in self._after:
            hear(ended)

    async def _write_end(self, job: Job, result: Mapping[str, Any] | None, error: dict[str, Any] | None) -> None:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            mine = await Jobs(tx).finish(
                job.id, self._name, job.state, now, result=result, error=error, progress=job.progress
            )
            if mine:
                await Events(tx).note(
                    now,
                    f"job.{job.state}",
                    "job",
                    job.id,
                    f"{job.title}: {error['message'] if error else job.state}",
                    project=job.project,
                    severity="warning" if job.state is JobState.FAILED else "info",
                )


async def _outcome(
    work: asyncio.Task[Mapping[str, Any]], canceled: bool
) -> tuple[JobState, Mapping[str, Any] | None, dict[str, Any] | None]:
    """How the work ended. A stop of the platform passes on, so that the job stays running in the store."""
    try:
        return JobState.SUCCEEDED, await work, None
    except (asyncio.CancelledError, JobCanceled):
        if not canceled:
            raise asyncio.CancelledError from None
    except AicpError as error:
        if not canceled:
            return JobState.FAILED, None, _describe(error)
    except Exception:
        if not canceled:
            log.exception("a job failed unexpectedly")
            return JobState.FAILED, None, _describe(_UNEXPECTED)
    return JobState.CANCELED, None, _describe(_CANCELED)


_CANCELED = ConflictError("The job was canceled.", code="canceled")
_UNEXPECTED = AicpError("The platform failed at this job.", hint="Look into the log of the control process.")


def _describe(error: AicpError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "status": error.status,
        "details": error.details,
    }
