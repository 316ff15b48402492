"""Which projects keep bodies of their requests, and which."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.request_log import Bodies, RequestLogRule
from aicp.core.route import RequestLogEntry
from aicp.core.value import Page
from aicp.store.database import Base, Transaction


class RequestLogRuleRow(Base):
    """A project without one keeps nothing, and has nothing kept."""

    __tablename__ = "request_log_rules"

    project: Mapped[str] = mapped_column(ForeignKey("projects.name", ondelete="CASCADE"), primary_key=True)
    bodies: Mapped[str] = mapped_column(String(10))
    share: Mapped[float]
    redact: Mapped[list[Any]] = mapped_column(JSON)
    patterns: Mapped[list[Any]] = mapped_column(JSON)
    max_body_bytes: Mapped[int]
    retention_days: Mapped[int]
    set_at: Mapped[datetime]
    set_by: Mapped[str | None] = mapped_column(String(63))


class RequestLogRules:
    """Queries over rules."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, project: str) -> RequestLogRule | None:
        """The rule of a project, if anybody has set one."""
        row = await self._session.get(RequestLogRuleRow, project)
        return _value(row) if row else None

    async def list(
        self, *, projects: Collection[str] | None = None, offset: int = 0, limit: int = 100
    ) -> Page[RequestLogRule]:
        """By project; `projects` limits to these (None: all)."""
        query = select(RequestLogRuleRow)
        if projects is not None:
            query = query.where(RequestLogRuleRow.project.in_(projects))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(RequestLogRuleRow.project).offset(offset).limit(limit))
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def retention(self) -> dict[str, int]:
        """Days by project, of all that have a rule."""
        query = select(RequestLogRuleRow.project, RequestLogRuleRow.retention_days)
        return {row[0]: row[1] for row in await self._session.execute(query)}

    async def entries(self) -> dict[str, RequestLogEntry]:
        """Rules as gateways need them, by project; none of a project that keeps nothing."""
        query = select(RequestLogRuleRow).where(RequestLogRuleRow.bodies != Bodies.OFF, RequestLogRuleRow.share > 0)
        return {
            row.project: RequestLogEntry(row.bodies, row.share, row.redact, row.patterns, row.max_body_bytes)
            for row in await self._session.scalars(query)
        }

    async def set(self, rule: RequestLogRule) -> None:
        """Puts a rule in the place of the one before."""
        await self._session.merge(
            RequestLogRuleRow(**rule.model_dump(mode="json", exclude={"set_at"}), set_at=rule.set_at)
        )
        await self._session.flush()

    async def delete(self, project: str) -> None:
        """Takes a project's rule away."""
        await self._session.execute(delete(RequestLogRuleRow).where(RequestLogRuleRow.project == project))


def _value(row: RequestLogRuleRow) -> RequestLogRule:
    return RequestLogRule.model_validate(row, from_attributes=True)
