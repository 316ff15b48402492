"""REST: jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.jobs import Jobs
from aicp.core.identity import Permission
from aicp.core.job import Job, JobState
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
JobsUse = Annotated[Jobs, use_case(Jobs)]
READ, WRITE = [permits(Permission.JOB_READ)], [permits(Permission.JOB_WRITE)]


@router.get("", dependencies=READ)
async def list_jobs(
    jobs: JobsUse,
    caller: CallerDep,
    project: str | None = None,
    state: JobState | None = None,
    kind: str | None = None,
    search: Search = None,
    sort: Sort = "-created_at",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Job]:
    """All jobs that the caller may see."""
    return await jobs.list(
        caller, project=project, state=state, kind=kind, search=search, sort=sort, offset=offset, limit=limit
    )


@router.get("/{job_id}", dependencies=READ)
async def get_job(jobs: JobsUse, caller: CallerDep, job_id: str) -> Job:
    """One job."""
    return await jobs.get(caller, job_id)


@router.post("/{job_id}/cancel", dependencies=WRITE)
async def cancel_job(jobs: JobsUse, caller: CallerDep, job_id: str) -> Job:
    """Asks a job to stop."""
    return await jobs.cancel(caller, job_id)


@router.get("/{job_id}/events", dependencies=[*READ, Depends(get_job)], response_class=EventSourceResponse)
async def follow_job(jobs: JobsUse, caller: CallerDep, job_id: str) -> AsyncIterator[Job]:
    """The job after every change, as server-sent events, until it has ended."""
    async for job in jobs.follow(caller, job_id):
        yield job
