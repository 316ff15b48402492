"""The job runner: progress, ends, cancel, taking up again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from tests.support.platform_jobs import working

from aicp.core.bell import Bell
from aicp.core.clock import SystemClock
from aicp.core.errors import InvalidError
from aicp.core.event import EventQuery
from aicp.core.job import FINISHED_JOB_STATES, Job
from aicp.reconcile.jobs import JobContext, JobRunner
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.jobs import Jobs

Work = Callable[[Job, JobContext], Awaitable[Mapping[str, Any]]]


class Worker:
    """Does what a test says."""

    def __init__(self, work: Work, kind: str = "test") -> None:
        self.work, self.kind = work, kind

    async def run(self, job: Job, context: JobContext) -> Mapping[str, Any]:
        return await self.work(job, context)


class Bench:
    """A runner over a database, and the means to look at its jobs."""

    def __init__(self, database: Database) -> None:
        self.database, self.bell = database, Bell()
        self.heard: list[str] = []

    def runner(self, work: Work, name: str = "process", parallel: int = 2) -> JobRunner:
        return JobRunner(
            self.database, SystemClock(), self.bell, [Worker(work), Worker(work, "other")],
            name=name, parallel=parallel, after=[lambda job: self.heard.append(f"{job.id} {job.state}")],
        )  # fmt: skip

    async def create(self, kind: str = "test") -> str:
        async with self.database.transaction() as tx:
            job = await Jobs(tx).create(kind, "A job", at=SystemClock().now())
        self.bell.ring("job", job.id)
        return job.id

    async def get(self, job_id: str) -> Job:
        async with self.database.snapshot() as tx:
            return await Jobs(tx).get(job_id)

    async def cancel(self, job_id: str) -> None:
        async with self.database.transaction() as tx:
            await Jobs(tx).request_cancel(job_id, SystemClock().now())

    async def until(self, job_id: str, true: Callable[[Job], bool]) -> Job:
        async with asyncio.timeout(20):
            with self.bell.subscription("job") as rings:
                while not true(job := await self.get(job_id)):
                    await Bell.wait(rings, 0.05)
        return job

    async def end(self, job_id: str) -> Job:
        return await self.until(job_id, lambda job: job.state in FINISHED_JOB_STATES)


@pytest.fixture
async def bench(sqlite_url: str) -> AsyncIterator[Bench]:
    database = Database(sqlite_url)
    yield Bench(database)
    await database.close()


async def test_result_and_progress_are_written(bench: Bench) -> None:
    async def work(job: Job, context: JobContext) -> Mapping[str, Any]:
        context.phase("counting", total=4, unit="files")
        context.advance(4)
        return {"answer": 42}

    async with working(bench.runner(work)):
        job = await bench.end(await bench.create())
    assert (job.state, job.result) == ("succeeded", {"answer": 42})
    assert (job.progress.phase, job.progress.done, job.progress.total) == ("counting", 4, 4)
    assert bench.heard == [f"{job.id} succeeded"]


async def test_progress_shows_rate_and_time_left(bench: Bench) -> None:
    gate = asyncio.Event()

    async def work(job: Job, context: JobContext) -> Mapping[str, Any]:
        context.phase("copying", total=1000)
        while not gate.is_set():
            context.advance(1)
            await asyncio.sleep(0.05)
        return {}

    async with working(bench.runner(work)):
        job_id = await bench.create()
        job = await bench.until(job_id, lambda job: bool(job.progress.rate))
        gate.set()
        await bench.end(job_id)
    assert job.progress.rate == pytest.approx(20, rel=0.9)
    assert job.progress.seconds_left is not None


async def test_error_is_kept_in_words(bench: Bench) -> None:
    async def work(job: Job, context: JobContext) -> Mapping[str, Any]:
        raise InvalidError("The file is broken.", hint="Send it again.", details={"file": "x"})

    async with working(bench.runner(work)):
        job = await bench.end(await bench.create())
    assert job.state == "failed"
    assert job.error == {
        "code": "invalid",
        "message": "The file is broken.",
        "hint": "Send it again.",
        "status": 422,
        "details": {"file": "x"},
    }
    async with bench.database.snapshot() as tx:
        events = await Events(tx).list(EventQuery(kind="job"))
    assert [event.action for event in events.items] == ["job.failed"]


async def test_unexpected_error_shows_no_traceback(bench: Bench) -> None:
    async def work(job: Job, context: JobContext) -> Mapping[str, Any]:
        raise ZeroDivisionError("secret")

    async with working(bench.runner(work)):
        job = await bench.end(await bench.create())
    assert job.error is not None
    assert "secret" not in str(job.error)
    assert job.error["status"] == 500


async def _wait_in_thread(job: Job, context: JobContext) -> Mapping[str, Any]:
    def block() -> None:
        while True:
            context.advance(1)
            time.sleep(0.01)

    await asyncio.to_thread(block)
    return {}


async def _wait_stubbornly(job: Job, context: JobContext) -> Mapping[str, Any]:
    await asyncio.sleep(600)
    return {}


@pytest.mark.parametrize("work", [_wait_in_thread, _wait_stubbornly])
async def test_running_job_is_canceled_within_a_second_or_so(bench: Bench, work: Work) -> None:
    async with working(bench.runner(work)):
        job_id = await bench.create()
        await bench.until(job_id, lambda job: job.state == "running")
        start = time.monotonic()
        await bench.cancel(job_id)
        job = await bench.end(job_id)
        took = time.monotonic() - start
    assert job.state == "canceled"
    assert took < 2  # a second, and what a busy test machine adds


async def test_queued_job_is_canceled_at_once(bench: Bench) -> None:
    async with working(bench.runner(_wait_stubbornly, parallel=1)):
        first = await bench.create()
        await bench.until(first, lambda job: job.state == "running")
        second = await bench.create()
        await bench.cancel(second)
        assert (await bench.get(second)).state == "canceled"


async def test_interrupted_job_is_taken_up_by_the_next_process(bench: Bench) -> None:
    async with working(bench.runner(_wait_stubbornly, name="first")):
        job_id = await bench.create()
        await bench.until(job_id, lambda job: job.state == "running")
    assert (await bench.get(job_id)).state == "running"

    async def finish(job: Job, context: JobContext) -> Mapping[str, Any]:
        return {"attempt": job.attempts}

    async with working(bench.runner(finish, name="second")):
        job = await bench.end(job_id)
    assert job.result == {"attempt": 2}


async def test_job_that_kills_the_process_is_given_up(bench: Bench) -> None:
    job_id = await bench.create()
    for attempt in range(6):
        async with bench.database.transaction() as tx:
            await Jobs(tx).requeue_lost("nobody")
            if attempt < 5:
                await Jobs(tx).take_next(["test"], f"process {attempt}", SystemClock().now())
    async with working(bench.runner(_wait_stubbornly, name="last")):
        job = await bench.end(job_id)
    assert job.error is not None
    assert job.error["code"] == "interrupted"


async def test_jobs_run_beside_each_other_up_to_the_limit(bench: Bench) -> None:
    active: set[str] = set()
    most = 0
    lock = threading.Lock()

    async def work(job: Job, context: JobContext) -> Mapping[str, Any]:
        nonlocal most
        with lock:
            active.add(job.id)
            most = max(most, len(active))
        await asyncio.sleep(0.05)
        active.discard(job.id)
        return {}

    async with working(bench.runner(work, parallel=2)):
        ids = [await bench.create() for _ in range(5)]
        assert [(await bench.end(job_id)).state for job_id in ids] == ["succeeded"] * 5
    assert most == 2


async def test_jobs_of_one_kind_hold_up_no_other_kind(bench: Bench) -> None:
    release = asyncio.Event()

    async def work(job: Job, context: JobContext) -> Mapping[str, Any]:
        if job.kind == "test":
            await release.wait()
        return {}

    async with working(bench.runner(work, parallel=2)):
        slow = [await bench.create() for _ in range(3)]
        assert (await bench.end(await bench.create("other"))).state == "succeeded"
        assert (await bench.get(slow[2])).state == "queued"
        release.set()
        assert [(await bench.end(job_id)).state for job_id in slow] == ["succeeded"] * 3


async def test_the_work_is_over_when_its_runner_is(bench: Bench) -> None:
    began, over = asyncio.Event(), asyncio.Event()

    async def work(job: Job, context: JobContext) -> Mapping[str, Any]:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            async with bench.database.snapshot() as tx:  # as work does that ends in the middle of a transaction
                await Jobs(tx).get(job.id)
            over.set()
        return {}

    async with working(bench.runner(work)):
        await bench.create()
        await began.wait()
    assert over.is_set()
