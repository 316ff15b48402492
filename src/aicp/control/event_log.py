"""Who changed what, and what the platform saw and did by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aicp.core.access import Caller
from aicp.core.event import Event
from aicp.core.identity import Permission
from aicp.core.value import Page
from aicp.store.database import Database
from aicp.store.events import Events


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: of one object, actor or action, with a text, in a time."""

    kind: str | None = None
    name: str | None = None
    actor: str | None = None
    action: str | None = None
    search: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    project: str | None = None


class EventLog:
    """Events, newest first. Without a platform role a caller sees those of the own projects only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def audit(self, caller: Caller, which: EventFilter, *, offset: int = 0, limit: int = 100) -> Page[Event]:
        """Changes that users made."""
        return await self._list(caller, Permission.AUDIT_READ, True, which, offset, limit)

    async def events(self, caller: Caller, which: EventFilter, *, offset: int = 0, limit: int = 100) -> Page[Event]:
        """What the platform saw and did."""
        return await self._list(caller, Permission.PROJECT_READ, False, which, offset, limit)

    async def _list(
        self, caller: Caller, permission: Permission, audit: bool, which: EventFilter, offset: int, limit: int
    ) -> Page[Event]:
        projects = caller.visible_projects(permission)
        if which.project is not None:
            caller.require(permission, which.project, what=f"Project {which.project!r}")
            projects = frozenset({which.project})
        async with self._database.snapshot() as tx:
            return await Events(tx).list(
                audit=audit,
                kind=which.kind,
                name=which.name,
                actor=which.actor,
                action=which.action,
                search=which.search,
                since=which.since,
                until=which.until,
                projects=projects,
                offset=offset,
                limit=limit,
            )
