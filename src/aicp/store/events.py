"""Append-only facts: audit entries and platform events."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Index, String, Text, func, or_, select, tuple_
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.access import Caller
from aicp.core.errors import InvalidError
from aicp.core.event import Event, EventPage, EventQuery
from aicp.core.ids import new_id
from aicp.store.database import Base, Transaction


class EventRow(Base):
    """Never updated, never deleted by the platform."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_object", "object_kind", "object_name"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(60), index=True)
    object_kind: Mapped[str] = mapped_column(String(40))
    object_name: Mapped[str] = mapped_column(String(200))
    project: Mapped[str | None] = mapped_column(String(63), index=True)
    address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text, default="")
    severity: Mapped[str] = mapped_column(String(10), default="info")
    audit: Mapped[bool] = mapped_column(default=False, index=True)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Events:
    """Queries over events."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def audit(
        self,
        caller: Caller,
        at: datetime,
        action: str,
        kind: str,
        name: str,
        *,
        project: str | None = None,
        message: str = "",
        severity: str = "info",
        details: Mapping[str, Any] | None = None,
    ) -> Event:
        """Records a change made by `caller`, in the same transaction as the change. Never pass secrets in `details`.

        A `severity` of warning says that it was refused.
        """
        return await self.add(
            Event(
                id=new_id("evt"),
                at=at,
                actor=caller.user,
                action=action,
                object_kind=kind,
                object_name=name,
                project=project,
                address=caller.address,
                request_id=caller.request_id,
                message=message,
                severity=severity,
                audit=True,
                details=dict(details or {}),
            )
        )

    async def note(
        self,
        at: datetime,
        action: str,
        kind: str,
        name: str,
        message: str,
        *,
        project: str | None = None,
        severity: str = "info",
        details: Mapping[str, Any] | None = None,
    ) -> Event:
        """Records something the platform saw or did by itself."""
        return await self.add(
            Event(
                id=new_id("evt"),
                at=at,
                actor="platform",
                action=action,
                object_kind=kind,
                object_name=name,
                project=project,
                message=message,
                severity=severity,
                details=dict(details or {}),
            )
        )

    async def add(self, event: Event) -> Event:
        """Appends one event."""
        self._session.add(EventRow(**event.model_dump()))
        await self._session.flush()
        return event

    async def list(
        self,
        which: EventQuery,
        *,
        audit: bool | None = None,
        projects: Collection[str] | None = None,
        before: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> EventPage:
        """Newest first, of `projects` only (None: all); `total` counts all that match. See `page`."""
        counted = select(func.count()).select_from(EventRow).where(*_conditions(which, audit, projects))
        total = await self._session.scalar(counted)
        items, more = await self.page(which, audit=audit, projects=projects, before=before, offset=offset, limit=limit)
        return EventPage(items=items, total=total or 0, offset=offset, limit=limit, next=more)

    async def page(
        self,
        which: EventQuery,
        *,
        audit: bool | None = None,
        projects: Collection[str] | None = None,
        before: str | None = None,
        offset: int = 0,
        limit: int,
    ) -> tuple[builtins.list[Event], str | None]:
        """What follows the event `before`, newest first, and the id to go on from; None at the end.

        Raises InvalidError when `before` is no event.
        """
        query = select(EventRow).where(*_conditions(which, audit, projects))
        if before is not None:
            last = await self._session.get(EventRow, before)
            if last is None:
                raise InvalidError(f"There is no event {before!r} to go on from.", hint="Begin again without `before`.")
            query = query.where(tuple_(EventRow.at, EventRow.id) < (last.at, last.id))
        newest_first = query.order_by(EventRow.at.desc(), EventRow.id.desc())
        # One more than asked for tells whether there is a page after this one.
        rows = (await self._session.scalars(newest_first.offset(offset).limit(limit + 1))).all()
        items = [Event.model_validate(row, from_attributes=True) for row in rows[:limit]]
        return items, items[-1].id if items and len(rows) > limit else None


def _conditions(which: EventQuery, audit: bool | None, projects: Collection[str] | None) -> list[ColumnElement[bool]]:
    exact = {
        EventRow.audit: audit,
        EventRow.project: which.project,
        EventRow.object_kind: which.kind,
        EventRow.object_name: which.name,
        EventRow.actor: which.actor,
        EventRow.action: which.action,
        EventRow.severity: which.severity,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in exact.items() if value is not None]
    if which.since is not None:
        conditions.append(EventRow.at >= which.since)
    if which.until is not None:
        conditions.append(EventRow.at < which.until)
    if projects is not None:
        conditions.append(EventRow.project.in_(projects))
    if which.search:
        texts = (EventRow.object_name, EventRow.message, EventRow.actor, EventRow.action, EventRow.request_id)
        conditions.append(or_(*(text.icontains(which.search, autoescape=True) for text in texts)))
    return conditions
