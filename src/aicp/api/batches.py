"""REST: batches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.batches import Batches
from aicp.core.batch import Batch, BatchCreate, BatchState
from aicp.core.identity import Permission
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])
BatchesUse = Annotated[Batches, use_case(Batches)]
READ, WRITE = [permits(Permission.BATCH_READ)], [permits(Permission.BATCH_WRITE)]


@router.post("", status_code=status.HTTP_201_CREATED, dependencies=WRITE)
async def create_batch(batches: BatchesUse, caller: CallerDep, body: BatchCreate) -> Batch:
    """Orders a batch over a file; its requests are counted to a key of the file's project."""
    return await batches.create(caller, body)


@router.get("", dependencies=READ)
async def list_batches(
    batches: BatchesUse,
    caller: CallerDep,
    project: str | None = None,
    state: BatchState | None = None,
    search: Search = None,
    sort: Sort = "-created_at",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Batch]:
    """Batches that the caller may see."""
    return await batches.list(
        caller, project=project, state=state, search=search, sort=sort, offset=offset, limit=limit
    )


@router.get("/{batch_id}", dependencies=READ)
async def get_batch(batches: BatchesUse, caller: CallerDep, batch_id: str) -> Batch:
    """One batch."""
    return await batches.get(caller, batch_id)


@router.post("/{batch_id}/cancel", dependencies=WRITE)
async def cancel_batch(batches: BatchesUse, caller: CallerDep, batch_id: str) -> Batch:
    """Asks a batch to stop; what was answered by then is kept."""
    return await batches.cancel(caller, batch_id)
