"""Metered consumption."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from aicp.api.access import CallerDep, permits
from aicp.api.csv_export import CSV_ANSWER, csv_response
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.usage import Usage, UsageGroup
from aicp.core.identity import Permission
from aicp.core.usage import Outcome, UsageQuery, UsageRecord, UsageRow
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["usage"], dependencies=[permits(Permission.USAGE_READ)])
UsageUse = Annotated[Usage, use_case(Usage)]


def _query(
    project: str | None = None,
    api_key_id: str | None = None,
    service: str | None = None,
    outcome: Outcome | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> UsageQuery:
    return UsageQuery(
        project=project, api_key_id=api_key_id, service=service, outcome=outcome, since=since, until=until
    )


QueryDep = Annotated[UsageQuery, Depends(_query)]


@router.get("/usage")
async def list_usage(
    caller: CallerDep, usage: UsageUse, query: QueryDep, offset: Offset = 0, limit: Limit = 100
) -> Page[UsageRecord]:
    """Single requests, newest first."""
    return await usage.list(caller, query, offset=offset, limit=limit)


@router.get("/usage/summary")
async def summarize_usage(
    caller: CallerDep,
    usage: UsageUse,
    query: QueryDep,
    group_by: list[UsageGroup] = Query([UsageGroup.SERVICE], description="may be given several times"),
) -> Page[UsageRow]:
    """Sums over whole hours (`since` is rounded down to its hour; `outcome` does not apply)."""
    return await usage.summary(caller, query, group_by)


@router.get("/usage.csv", response_class=StreamingResponse, responses=CSV_ANSWER)
async def export_usage(caller: CallerDep, usage: UsageUse, query: QueryDep) -> StreamingResponse:
    """Single requests as CSV, newest first."""
    return csv_response("usage.csv", list(UsageRecord.model_fields), _rows(usage.export(caller, query)))


async def _rows(records: AsyncIterator[UsageRecord]) -> AsyncIterator[dict[str, Any]]:
    async for record in records:
        yield record.model_dump(mode="json")
