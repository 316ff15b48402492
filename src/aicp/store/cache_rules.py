"""Rules of caches, and what the caches did hour by hour."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.cache_rule import CacheMode, CacheRule, CacheStats
from aicp.core.usage import UsageRecord
from aicp.core.value import Page
from aicp.store.database import Base, Transaction

_COUNTERS = ("lookups", "exact_hits", "semantic_hits", "saved_tokens", "agreed", "disagreed", "gated")
_COUNTER_OF = {"exact": "exact_hits", "semantic": "semantic_hits"}
MEASURED = frozenset({"agreed", "disagreed", "gated"})
"""What a line of usage says that is no request."""


class CacheRuleRow(Base):
    """A rule. The model need not exist yet."""

    __tablename__ = "cache_rules"

    project: Mapped[str] = mapped_column(String(63), primary_key=True)
    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    mode: Mapped[str] = mapped_column(String(10))
    ttl_seconds: Mapped[int]
    embedding_model: Mapped[str | None] = mapped_column(String(63))
    threshold: Mapped[float]
    max_entries: Mapped[int]
    any_temperature: Mapped[bool]
    generation: Mapped[int]
    set_at: Mapped[datetime]
    set_by: Mapped[str | None] = mapped_column(String(63))


class CacheHourRow(Base):
    """What the caches of one project and model did in one hour (UTC), of all gateways."""

    __tablename__ = "cache_hours"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(String(63), primary_key=True)
    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    lookups: Mapped[int] = mapped_column(BigInteger, default=0)
    exact_hits: Mapped[int] = mapped_column(BigInteger, default=0)
    semantic_hits: Mapped[int] = mapped_column(BigInteger, default=0)
    saved_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    agreed: Mapped[int] = mapped_column(BigInteger, default=0)
    disagreed: Mapped[int] = mapped_column(BigInteger, default=0)
    gated: Mapped[int] = mapped_column(BigInteger, default=0)


class CacheRules:
    """Queries over rules and counts."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, project: str, model: str) -> CacheRule | None:
        """The rule, if there is one."""
        row = await self._session.get(CacheRuleRow, (project, model))
        return _value(row) if row else None

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        search: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[CacheRule]:
        """By project and model; `projects` limits to these (None: all)."""
        query = select(CacheRuleRow)
        if projects is not None:
            query = query.where(CacheRuleRow.project.in_(projects))
        if search:
            query = query.where(
                CacheRuleRow.model.icontains(search, autoescape=True)
                | CacheRuleRow.project.icontains(search, autoescape=True)
            )
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        ordered = query.order_by(CacheRuleRow.project, CacheRuleRow.model).offset(offset).limit(limit)
        rows = await self._session.scalars(ordered)
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def active(self) -> list[CacheRule]:
        """All that are not off."""
        query = select(CacheRuleRow).where(CacheRuleRow.mode != CacheMode.OFF.value)
        rows = await self._session.scalars(query.order_by(CacheRuleRow.project, CacheRuleRow.model))
        return [_value(row) for row in rows]

    async def set(self, rule: CacheRule) -> None:
        """Puts a rule in the place of the one before."""
        await self._session.merge(CacheRuleRow(**rule.model_dump()))
        await self._session.flush()

    async def delete(self, project: str, model: str) -> None:
        """Forgets a rule."""
        where = (CacheRuleRow.project == project, CacheRuleRow.model == model)
        await self._session.execute(delete(CacheRuleRow).where(*where))

    async def delete_project(self, project: str) -> None:
        """Forgets all rules of a project."""
        await self._session.execute(delete(CacheRuleRow).where(CacheRuleRow.project == project))

    async def stats(
        self, *, projects: Collection[str] | None, since: datetime | None = None, until: datetime | None = None
    ) -> list[CacheStats]:
        """Sums of whole hours by project and model."""
        names = (CacheHourRow.project, CacheHourRow.model)
        query = select(*names, *(func.sum(getattr(CacheHourRow, counter)) for counter in _COUNTERS))
        if projects is not None:
            query = query.where(CacheHourRow.project.in_(projects))
        if since is not None:
            query = query.where(CacheHourRow.hour >= _hour(since))
        if until is not None:
            query = query.where(CacheHourRow.hour < until)
        found: list[CacheStats] = []
        for row in await self._session.execute(query.group_by(*names).order_by(*names)):
            project, model, *sums = tuple(row)
            counts = {name: int(value or 0) for name, value in zip(_COUNTERS, sums, strict=True)}
            found.append(CacheStats(project=project, model=model, **counts))
        return found

    async def count(self, records: Iterable[UsageRecord]) -> None:
        """Adds what caches did with requests that are counted for the first time."""
        hours: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
        for record in records:
            if record.cache is None or record.cache_model is None:
                continue
            counts = hours[_hour(record.started_at), record.project, record.cache_model]
            if record.cache in MEASURED:
                counts[record.cache] += 1
                continue
            counts["lookups"] += 1
            if record.cache in _COUNTER_OF:
                counts[_COUNTER_OF[record.cache]] += 1
                counts["saved_tokens"] += record.saved_tokens or 0
        # in one order everywhere, as sums of usage are
        for (hour, project, model), counts in sorted(hours.items(), key=lambda item: item[0]):
            await self._add(hour, project, model, counts)

    async def _add(self, hour: datetime, project: str, model: str, counts: Counter[str]) -> None:
        dialect = self._session.get_bind().dialect.name
        insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
        values = {"hour": hour, "project": project, "model": model} | {name: counts[name] for name in _COUNTERS}
        statement = insert(CacheHourRow).values(values)
        grown = {name: getattr(CacheHourRow, name) + statement.excluded[name] for name in _COUNTERS}
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["hour", "project", "model"], set_=grown)
        )


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _value(row: CacheRuleRow) -> CacheRule:
    return CacheRule.model_validate(row, from_attributes=True)
