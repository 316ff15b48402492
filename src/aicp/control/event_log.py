"""Who changed what, and what the platform saw and did by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from aicp.core.access import Caller
from aicp.core.clock import Clock
from aicp.core.event import Event, EventPage, EventQuery
from aicp.core.identity import Permission
from aicp.store.database import Database
from aicp.store.events import Events

_EXPORT_PAGE = 1000


class EventLog:
    """Events, newest first. Without a platform role a caller sees those of the own projects only."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def audit(
        self, caller: Caller, which: EventQuery, *, before: str | None = None, offset: int = 0, limit: int = 100
    ) -> EventPage:
        """Changes that users made."""
        visible = _visible(caller, Permission.AUDIT_READ, which)
        async with self._database.snapshot() as tx:
            return await Events(tx).list(which, audit=True, projects=visible, before=before, offset=offset, limit=limit)

    async def events(
        self, caller: Caller, which: EventQuery, *, before: str | None = None, offset: int = 0, limit: int = 100
    ) -> EventPage:
        """What the platform saw and did."""
        visible = _visible(caller, Permission.PROJECT_READ, which)
        async with self._database.snapshot() as tx:
            return await Events(tx).list(
                which, audit=False, projects=visible, before=before, offset=offset, limit=limit
            )

    async def refused(self, caller: Caller, method: str, path: str, reason: str) -> None:
        """Notes a change that the caller tried and may not make."""
        async with self._database.transaction() as tx:
            await Events(tx).audit(
                caller, self._clock.now(), "access.refuse", "request", path[:200],
                message=f"{method}: {reason}", severity="warning",
            )  # fmt: skip

    def export(self, caller: Caller, which: EventQuery) -> AsyncIterator[Event]:
        """All changes that users made, read page by page. What the caller may see is checked at once."""
        return self._pages(which, _visible(caller, Permission.AUDIT_READ, which))

    async def _pages(self, which: EventQuery, visible: Collection[str] | None) -> AsyncIterator[Event]:
        before: str | None = None
        while True:
            async with self._database.snapshot() as tx:
                items, before = await Events(tx).page(
                    which, audit=True, projects=visible, before=before, limit=_EXPORT_PAGE
                )
            for event in items:
                yield event
            if before is None:
                return


def _visible(caller: Caller, permission: Permission, which: EventQuery) -> Collection[str] | None:
    """The projects that the caller may see events of; None: all. Raises what `require` raises for the one asked for."""
    if which.project is not None:
        caller.require(permission, which.project, what=f"Project {which.project!r}")
    return caller.visible_projects(permission)
