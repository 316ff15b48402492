"""Append-only facts: audit entries and platform events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, func, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.access import Caller
from aicp.core.event import Event
from aicp.core.ids import new_id
from aicp.core.value import Page
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
        details: Mapping[str, Any] | None = None,
    ) -> Event:
        """Records a change made by `caller`, in the same transaction as the change. Never pass secrets in `details`."""
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
        *,
        audit: bool | None = None,
        kind: str | None = None,
        name: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        search: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        projects: Collection[str] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Event]:
        """Newest first. `projects` limits to events of these projects (None: all)."""
        query = select(EventRow)
        exact = {EventRow.audit: audit, EventRow.object_kind: kind, EventRow.object_name: name}
        exact |= {EventRow.actor: actor, EventRow.action: action}
        for column, value in exact.items():
            if value is not None:
                query = query.where(column == value)
        if since is not None:
            query = query.where(EventRow.at >= since)
        if until is not None:
            query = query.where(EventRow.at < until)
        if projects is not None:
            query = query.where(EventRow.project.in_(projects))
        if search:
            query = query.where(
                EventRow.object_name.icontains(search, autoescape=True)
                | EventRow.message.icontains(search, autoescape=True)
            )
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(EventRow.at.desc(), EventRow.id.desc()).offset(offset).limit(limit)
        )
        items = [Event.model_validate(row, from_attributes=True) for row in rows]
        return Page(items=items, total=total or 0, offset=offset, limit=limit)
