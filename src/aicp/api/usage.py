"""Metered consumption."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.usage import Usage, UsageGroup, UsageQuery
from aicp.core.identity import Permission
from aicp.core.usage import Outcome, UsageRecord, UsageRow
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["usage"], dependencies=[permits(Permission.USAGE_READ)])
UsageUse = Annotated[Usage, use_case(Usage)]
_CSV_LINES_AT_ONCE = 500


def _query(
    project: str | None = None,
    api_key_id: str | None = None,
    service: str | None = None,
    outcome: Outcome | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> UsageQuery:
    return UsageQuery(project, api_key_id, service, outcome, since, until)


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


@router.get(
    "/usage.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "All single requests."}},
)
async def export_usage(caller: CallerDep, usage: UsageUse, query: QueryDep) -> StreamingResponse:
    """Single requests as CSV, newest first."""
    headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
    lines = _csv(usage.export(caller, query))
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


async def _csv(records: AsyncIterator[UsageRecord]) -> AsyncIterator[str]:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(UsageRecord.model_fields), lineterminator="\r\n")
    writer.writeheader()
    count = 0
    async for record in records:
        writer.writerow(record.model_dump(mode="json"))
        count += 1
        if count % _CSV_LINES_AT_ONCE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()
