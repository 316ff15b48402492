"""Audit entries and platform events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search
from aicp.api.use_cases import use_case
from aicp.control.event_log import EventFilter, EventLog
from aicp.core.event import Event
from aicp.core.identity import Permission
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["events"])
LogUse = Annotated[EventLog, use_case(EventLog)]


def _filter(
    kind: str | None = None,
    name: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    search: Search = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    project: str | None = None,
) -> EventFilter:
    return EventFilter(kind, name, actor, action, search, since, until, project)


FilterDep = Annotated[EventFilter, Depends(_filter)]


@router.get("/audit", dependencies=[permits(Permission.AUDIT_READ)])
async def list_audit(
    caller: CallerDep, log: LogUse, which: FilterDep, offset: Offset = 0, limit: Limit = 100
) -> Page[Event]:
    """Who changed what, from where; newest first."""
    return await log.audit(caller, which, offset=offset, limit=limit)


@router.get("/events", dependencies=[permits(Permission.PROJECT_READ)])
async def list_events(
    caller: CallerDep, log: LogUse, which: FilterDep, offset: Offset = 0, limit: Limit = 100
) -> Page[Event]:
    """What the platform saw and did by itself; newest first."""
    return await log.events(caller, which, offset=offset, limit=limit)
