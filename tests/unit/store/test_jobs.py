"""Jobs on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.job import JobProgress, JobState
from aicp.store.database import Database
from aicp.store.jobs import Jobs

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


async def create(
    database: Database, kind: str = "model_import", *, project: str | None = "default", age: int = 0
) -> str:
    async with database.transaction() as tx:
        job = await Jobs(tx).create(kind, "Import x", at=NOW + timedelta(seconds=age), project=project)
        assert job.state is JobState.QUEUED
        return job.id


async def test_oldest_job_of_a_known_kind_is_taken_once(database: Database) -> None:
    await create(database, "unknown", age=-9)
    first, second = await create(database), await create(database, age=1)
    async with database.transaction() as tx:
        jobs = Jobs(tx)
        taken = [await jobs.take_next(["model_import"], "w", LATER) for _ in range(3)]
        assert [job.id if job else None for job in taken] == [first, second, None]
        assert taken[0] is not None
        assert (taken[0].state, taken[0].attempts, taken[0].started_at) == (JobState.RUNNING, 1, LATER)
        assert not await jobs.any_queued(["model_import"])
        assert await jobs.any_queued(["unknown"])


async def test_only_its_worker_beats_and_finishes_a_job(database: Database) -> None:
    job_id = await create(database)
    async with database.transaction() as tx:
        jobs = Jobs(tx)
        await jobs.take_next(["model_import"], "w", NOW)
        assert await jobs.beat(job_id, "other", LATER, None) is None
        assert not await jobs.finish(job_id, "other", JobState.SUCCEEDED, LATER)
        beaten = await jobs.beat(job_id, "w", LATER, JobProgress(phase="copying", done=5, total=10))
        assert beaten is not None
        assert (beaten.progress.phase, beaten.progress.done) == ("copying", 5)
        assert await jobs.finish(job_id, "w", JobState.SUCCEEDED, LATER, result={"version": "v1"})
        assert not await jobs.finish(job_id, "w", JobState.FAILED, LATER)
        done = await jobs.get(job_id)
        assert (done.state, done.result, done.finished_at) == (JobState.SUCCEEDED, {"version": "v1"}, LATER)


async def test_running_job_cannot_be_finished_as_queued(database: Database) -> None:
    job_id = await create(database)
    async with database.transaction() as tx:
        await Jobs(tx).take_next(["model_import"], "w", NOW)
        with pytest.raises(ConflictError):
            await Jobs(tx).finish(job_id, "w", JobState.RUNNING, NOW)


async def test_cancel_ends_a_queued_job_and_asks_a_running_one(database: Database) -> None:
    running, queued = await create(database), await create(database, age=1)
    async with database.transaction() as tx:
        jobs = Jobs(tx)
        await jobs.take_next(["model_import"], "w", NOW)
        assert (await jobs.request_cancel(queued, LATER)).state is JobState.CANCELED
        asked = await jobs.request_cancel(running, LATER)
        assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
        await jobs.finish(running, "w", JobState.CANCELED, LATER)
        assert (await jobs.request_cancel(running, LATER)).state is JobState.CANCELED


async def test_jobs_of_a_dead_process_are_queued_again(database: Database) -> None:
    job_id = await create(database)
    async with database.transaction() as tx:
        jobs = Jobs(tx)
        await jobs.take_next(["model_import"], "old", NOW)
        assert await jobs.requeue_lost("old") == 0
        assert await jobs.requeue_lost("new") == 1
        taken = await jobs.take_next(["model_import"], "new", LATER)
        assert taken is not None
        assert (taken.id, taken.attempts, taken.started_at) == (job_id, 2, NOW)
        assert await jobs.beat(job_id, "old", LATER, None) is None


async def test_list_filters(database: Database) -> None:
    mine, platform = await create(database), await create(database, "engine_install", project=None, age=1)
    async with database.snapshot() as tx:
        jobs = Jobs(tx)
        assert [job.id for job in (await jobs.list()).items] == [platform, mine]
        assert [job.id for job in (await jobs.list(projects={"default"})).items] == [mine]
        assert (await jobs.list(projects=set())).total == 0
        assert (await jobs.list(kind="engine_install")).total == 1
        assert (await jobs.list(state=JobState.RUNNING)).total == 0
        assert (await jobs.list(search="Import")).total == 2
        assert [job.id for job in await jobs.unfinished("model_import")] == [mine]
        with pytest.raises(NotFoundError):
            await jobs.get("job_unknown")
        assert await jobs.find("job_unknown") is None
