"""Finite work: list it, follow it, cancel it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import NotFoundError
from aicp.core.identity import Permission
from aicp.core.job import FINISHED_JOB_STATES, Job, JobState
from aicp.core.value import Page
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.jobs import Jobs as JobQueries

_LOOK_SECONDS = 2.0


class Jobs:
    """Use cases over jobs. A job without a project is the platform's and seen by those who see everything."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        state: JobState | None = None,
        kind: str | None = None,
        search: str | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Job]:
        """Jobs the caller may see."""
        projects = caller.visible_projects(Permission.JOB_READ)
        if project is not None:
            caller.require(Permission.JOB_READ, project, what=f"Project {project!r}")
            projects = frozenset({project})
        async with self._database.snapshot() as tx:
            return await JobQueries(tx).list(
                projects=projects, state=state, kind=kind, search=search, sort=sort, offset=offset, limit=limit
            )

    async def get(self, caller: Caller, job_id: str) -> Job:
        """One job. Raises NotFoundError, also for a job of a project the caller does not see."""
        async with self._database.snapshot() as tx:
            return _visible(caller, await JobQueries(tx).get(job_id))

    async def cancel(self, caller: Caller, job_id: str) -> Job:
        """Asks a job to stop; a finished one stays as it is."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            job = _visible(caller, await JobQueries(tx).get(job_id))
            if job.project is None:  # the platform's own work, such as an installation
                caller.require_everywhere(Permission.JOB_WRITE)
            else:
                caller.require(Permission.JOB_WRITE, job.project, what=f"Job {job_id!r}")
            if job.state in FINISHED_JOB_STATES:
                return job
            job = await JobQueries(tx).request_cancel(job_id, now)
            await Events(tx).audit(
                caller, now, "job.cancel", "job", job_id, project=job.project, message=f"{job.title}: cancel"
            )
        self._bell.ring("job", job_id)
        return job

    async def follow(self, caller: Caller, job_id: str) -> AsyncIterator[Job]:
        """The job now and after every change, until it has ended."""
        with self._bell.subscription("job") as rings:
            last: Job | None = None
            while last is None or last.state not in FINISHED_JOB_STATES:
                job = await self.get(caller, job_id)
                if job != last:
                    yield job
                    last = job
                if job.state not in FINISHED_JOB_STATES:
                    await Bell.wait(rings, _LOOK_SECONDS)


def _visible(caller: Caller, job: Job) -> Job:
    projects = caller.visible_projects(Permission.JOB_READ)
    if projects is not None and job.project not in projects:
        raise NotFoundError(f"There is no job {job.id!r}.")
    return job
