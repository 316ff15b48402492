"""Audit entries and platform events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from aicp.api.access import CallerDep, permits
from aicp.api.csv_export import CSV_ANSWER, csv_response
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.event_log import EventLog
from aicp.core.event import Event, EventPage, EventQuery
from aicp.core.identity import Permission

router = APIRouter(prefix="/api/v1", tags=["events"])
LogUse = Annotated[EventLog, use_case(EventLog)]
Before = Annotated[str | None, Query(max_length=40, description="`next` of the page before: what follows it")]


def _filter(
    kind: Annotated[str | None, Query(description="kind of the object, such as service or key")] = None,
    name: Annotated[str | None, Query(description="whole name or id of the object")] = None,
    actor: Annotated[str | None, Query(description="name of the user; `platform` for the platform itself")] = None,
    action: Annotated[str | None, Query(description="such as service.create")] = None,
    severity: Annotated[
        Literal["info", "warning", "error"] | None, Query(description="of an audit entry: warning when it was refused")
    ] = None,
    search: Annotated[
        str | None, Query(max_length=200, description="a part of object, message, actor, action or request id")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="from this moment on")] = None,
    until: Annotated[AwareDatetime | None, Query(description="before this moment")] = None,
    project: str | None = None,
) -> EventQuery:
    return EventQuery(
        project=project,
        kind=kind,
        name=name,
        actor=actor,
        action=action,
        severity=severity,
        search=search,
        since=since,
        until=until,
    )


FilterDep = Annotated[EventQuery, Depends(_filter)]


@router.get("/audit", dependencies=[permits(Permission.AUDIT_READ)])
async def list_audit(
    caller: CallerDep,
    log: LogUse,
    which: FilterDep,
    before: Before = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> EventPage:
    """Who changed what, from where; newest first."""
    return await log.audit(caller, which, before=before, offset=offset, limit=limit)


@router.get(
    "/audit.csv",
    dependencies=[permits(Permission.AUDIT_READ)],
    response_class=StreamingResponse,
    responses=CSV_ANSWER,
)
async def export_audit(caller: CallerDep, log: LogUse, which: FilterDep) -> StreamingResponse:
    """Who changed what as CSV, newest first; `details` are JSON."""
    return csv_response("audit.csv", list(Event.model_fields), _rows(log.export(caller, which)))


@router.get("/events", dependencies=[permits(Permission.PROJECT_READ)])
async def list_events(
    caller: CallerDep,
    log: LogUse,
    which: FilterDep,
    before: Before = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> EventPage:
    """What the platform saw and did by itself; newest first."""
    return await log.events(caller, which, before=before, offset=offset, limit=limit)


async def _rows(events: AsyncIterator[Event]) -> AsyncIterator[dict[str, Any]]:
    async for event in events:
        row = event.model_dump(mode="json")
        yield row | {"details": json.dumps(row["details"], ensure_ascii=False)}
