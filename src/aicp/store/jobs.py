"""Jobs: one row a job; its state moves only through `_move`, which checks the legal transitions."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, String, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import NotFoundError
from aicp.core.ids import new_id
from aicp.core.job import FINISHED_JOB_STATES, Job, JobProgress, JobState, check_job_transition
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.sorting import order_by

SORTS = ("title", "kind", "state", "created_by", "created_at", "finished_at")


class JobRow(Base):
    """`worker` names the process that runs it, `beat_at` when it last said so."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40), index=True)
    title: Mapped[str] = mapped_column(String(300))
    project: Mapped[str | None] = mapped_column(String(63), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[dict[str, Any] | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(80))
    beat_at: Mapped[datetime | None]
    created_by: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(index=True)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Jobs:
    """Queries over jobs."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def create(
        self,
        kind: str,
        title: str,
        *,
        at: datetime,
        project: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        created_by: str | None = None,
        job_id: str | None = None,
    ) -> Job:
        """A new queued job. `parameters` are shown to users: never put credentials there."""
        row = JobRow(
            id=job_id or new_id("job"),
            kind=kind,
            title=title[:300],
            project=project,
            state=JobState.QUEUED,
            parameters=dict(parameters or {}),
            created_by=created_by,
            created_at=at,
            cancel_requested=False,
            attempts=0,
            progress={},
            result={},
            error=None,
        )
        self._session.add(row)
        await self._session.flush()
        return _job(row)

    async def find(self, job_id: str) -> Job | None:
        """A job, or None."""
        row = await self._session.get(JobRow, job_id)
        return None if row is None else _job(row)

    async def get(self, job_id: str) -> Job:
        """A job. Raises NotFoundError."""
        return _job(await self._row(job_id))

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        state: JobState | None = None,
        kind: str | None = None,
        search: str | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Job]:
        """`projects` limits to jobs of these projects (None: all, also those of no project).

        `sort` is one of SORTS, with `-` for falling order.
        """
        query = select(JobRow)
        if projects is not None:
            query = query.where(JobRow.project.in_(projects))
        if state is not None:
            query = query.where(JobRow.state == state)
        if kind is not None:
            query = query.where(JobRow.kind == kind)
        if search:
            query = query.where(JobRow.title.icontains(search, autoescape=True) | (JobRow.id == search))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(*order_by(JobRow, sort, SORTS)).offset(offset).limit(limit))
        return Page(items=[_job(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def unfinished(self, kind: str) -> builtins.list[Job]:
        """Queued and running jobs of a kind, oldest first."""
        states = (JobState.QUEUED, JobState.RUNNING)
        query = select(JobRow).where(JobRow.kind == kind, JobRow.state.in_(states)).order_by(JobRow.id)
        return [_job(row) for row in await self._session.scalars(query)]

    async def any_queued(self, kinds: Collection[str]) -> bool:
        """Whether a job of `kinds` waits; a read, so that idle loops never take the write lock."""
        query = select(JobRow.id).where(JobRow.state == JobState.QUEUED, JobRow.kind.in_(kinds))
        return await self._session.scalar(query.limit(1)) is not None

    async def take_next(self, kinds: Collection[str], worker: str, at: datetime) -> Job | None:
        """Moves the oldest queued job of `kinds` to running under `worker`; None when nothing waits."""
        query = select(JobRow.id).where(JobRow.state == JobState.QUEUED, JobRow.kind.in_(kinds))
        job_id = await self._session.scalar(query.order_by(JobRow.created_at, JobRow.id).limit(1))
        if job_id is None:
            return None
        taken = await self._move(
            job_id,
            JobState.QUEUED,
            JobState.RUNNING,
            worker=worker,
            beat_at=at,
            started_at=func.coalesce(JobRow.started_at, at),
            attempts=JobRow.attempts + 1,
        )
        return await self.get(job_id) if taken else None

    async def beat(self, job_id: str, worker: str, at: datetime, progress: JobProgress | None) -> Job | None:
        """Says that `worker` lives and how far it is; answers the job, None when it is no longer this worker's."""
        values: dict[str, Any] = {"beat_at": at}
        if progress is not None:
            values["progress"] = progress.model_dump(mode="json")
        if not await self._update(job_id, JobState.RUNNING, worker, values):
            return None
        return await self.get(job_id)

    async def finish(
        self,
        job_id: str,
        worker: str,
        state: JobState,
        at: datetime,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
        progress: JobProgress | None = None,
    ) -> bool:
        """Ends a running job of `worker`; False when it is no longer this worker's."""
        check_job_transition(JobState.RUNNING, state)
        values: dict[str, Any] = {"state": state, "finished_at": at, "worker": None}
        values |= {"result": dict(result or {}), "error": None if error is None else dict(error)}
        if progress is not None:
            values["progress"] = progress.model_dump(mode="json")
        return await self._update(job_id, JobState.RUNNING, worker, values)

    async def request_cancel(self, job_id: str, at: datetime) -> Job:
        """Cancels a queued job at once and asks the worker of a running one; a finished job stays as it is."""
        job = await self.get(job_id)
        if job.state is JobState.QUEUED:
            await self._move(job_id, JobState.QUEUED, JobState.CANCELED, cancel_requested=True, finished_at=at)
        elif job.state not in FINISHED_JOB_STATES:
            await self._session.execute(update(JobRow).where(JobRow.id == job_id).values(cancel_requested=True))
        return await self.get(job_id)

    async def requeue_lost(self, worker: str) -> int:
        """Queues running jobs of every worker but `worker` again; answers how many."""
        query = (
            update(JobRow)
            .where(JobRow.state == JobState.RUNNING, func.coalesce(JobRow.worker, "") != worker)
            .values(state=JobState.QUEUED, worker=None)
            .execution_options(synchronize_session=False)
        )
        return await self._count(query)

    async def _move(self, job_id: str, current: JobState, wanted: JobState, **values: Any) -> bool:
        check_job_transition(current, wanted)
        query = (
            update(JobRow)
            .where(JobRow.id == job_id, JobRow.state == current)
            .values(state=wanted, **values)
            .execution_options(synchronize_session=False)
        )
        return await self._count(query) == 1

    async def _update(self, job_id: str, state: JobState, worker: str, values: dict[str, Any]) -> bool:
        query = (
            update(JobRow)
            .where(JobRow.id == job_id, JobRow.state == state, JobRow.worker == worker)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
        return await self._count(query) == 1

    async def _count(self, query: Any) -> int:
        result = await self._session.execute(query)
        self._session.expire_all()
        assert isinstance(result, CursorResult)
        return result.rowcount

    async def _row(self, job_id: str) -> JobRow:
        row = await self._session.get(JobRow, job_id, populate_existing=True)
        if row is None:
            raise NotFoundError(f"There is no job {job_id!r}.")
        return row


def _job(row: JobRow) -> Job:
    return Job.model_validate(row, from_attributes=True)
