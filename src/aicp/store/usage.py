"""Usage: one record a request, and sums by the hour for summaries that stay quick."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Index, Select, String, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.core.value import Page
from aicp.store.cache_rules import MEASURED, CacheRules
from aicp.store.database import Base, Transaction

FINE_OUTCOMES = frozenset({Outcome.OK, Outcome.CANCELED})
"""Every other outcome counts as an error in summaries."""
_BATCH_MEMORY = timedelta(days=30)
# Times to first token are counted in classes 10 % wide, so a percentile is within 5 % of the true one.
_CLASS_RATIO = math.log(1.1)
_COUNTERS = ("requests", "errors", "prompt_tokens", "completion_tokens", "cost_micros", "unpriced")


class UsageRecordRow(Base):
    """One request; its id is unique, so a record that is shipped twice counts once."""

    __tablename__ = "usage_records"
    __table_args__ = (
        Index("ix_usage_records_project_started_at", "project", "started_at"),
        Index("ix_usage_records_key_started_at", "api_key_id", "started_at"),
    )

    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    api_key_id: Mapped[str] = mapped_column(String(40))
    project: Mapped[str] = mapped_column(String(63))
    service: Mapped[str] = mapped_column(String(63), index=True)
    replica_id: Mapped[str | None] = mapped_column(String(64))
    endpoint: Mapped[str] = mapped_column(String(200))
    stream: Mapped[bool]
    started_at: Mapped[datetime] = mapped_column(index=True)
    duration_ms: Mapped[float | None]
    queue_ms: Mapped[float | None]
    ttft_ms: Mapped[float | None]
    status: Mapped[int | None]
    outcome: Mapped[str] = mapped_column(String(20))
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    cache: Mapped[str | None] = mapped_column(String(10))
    cache_model: Mapped[str | None] = mapped_column(String(63))
    saved_tokens: Mapped[int | None] = mapped_column(BigInteger)


class UsageBatchRow(Base):
    """A batch that was counted."""

    __tablename__ = "usage_batches"

    gateway_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    received_at: Mapped[datetime] = mapped_column(index=True)


class UsageHourRow(Base):
    """Sums of one hour (UTC) for one key and service."""

    __tablename__ = "usage_hours"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    api_key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(63), primary_key=True)
    service: Mapped[str] = mapped_column(String(63), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_micros: Mapped[int] = mapped_column(BigInteger)
    unpriced: Mapped[int] = mapped_column(BigInteger)


class UsageTtftRow(Base):
    """How many requests of an hour had a time to first token of class `bucket`."""

    __tablename__ = "usage_ttft"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    api_key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(63), primary_key=True)
    service: Mapped[str] = mapped_column(String(63), primary_key=True)
    bucket: Mapped[int] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage: from `since` to before `until`, of `projects` (None: all), of one key, service or outcome."""

    projects: frozenset[str] | None = None
    api_key_id: str | None = None
    service: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Sums of the requests that agree in `group`; `ttft` counts them by the class of their time to first token."""

    group: dict[str, Any]
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_micros: int
    unpriced: int
    ttft: Counter[int]


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens, input and output, and what they cost in millionths of the currency."""

    tokens: int = 0
    cost_micros: int = 0


class Usage:
    """Queries over usage."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session
        self._caches = CacheRules(tx)

    async def accept(self, batch: UsageBatch, now: datetime) -> list[UsageRecord]:
        """Counts a batch once; answers the records that are new. A batch or record seen before changes nothing."""
        seen = {"gateway_id": batch.gateway_id, "sequence": batch.sequence, "received_at": now}
        first = self._insert(UsageBatchRow).values(seen).on_conflict_do_nothing().returning(UsageBatchRow.sequence)
        if await self._session.scalar(first) is None:
            return []
        await self._session.execute(delete(UsageBatchRow).where(UsageBatchRow.received_at < now - _BATCH_MEMORY))
        found = [*map(_storable, batch.records)]
        records = {record.request_id: record for record in found if record.cache not in MEASURED}
        await self._caches.count(record for record in found if record.cache in MEASURED)
        if not records:
            return []
        rows = [record.model_dump() | {"outcome": record.outcome.value} for record in records.values()]
        statement = self._insert(UsageRecordRow).on_conflict_do_nothing().returning(UsageRecordRow.request_id)
        fresh = set(await self._session.scalars(statement, rows))
        added = [record for request_id, record in records.items() if request_id in fresh]
        await self._add_up(added)
        await self._caches.count(added)
        return added

    async def list(self, which: UsageFilter, *, offset: int = 0, limit: int = 100) -> Page[UsageRecord]:
        """Single requests, newest first."""
        query = select(UsageRecordRow).where(*_record_conditions(which))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(_newest_first(query).offset(offset).limit(limit))
        return Page(items=[_record(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def after(self, which: UsageFilter, last: UsageRecord | None, limit: int) -> list[UsageRecord]:
        """The next `limit` requests after `last`, newest first: for exports that read on while usage grows."""
        query = select(UsageRecordRow).where(*_record_conditions(which))
        if last is not None:
            place = tuple_(UsageRecordRow.started_at, UsageRecordRow.request_id)
            query = query.where(place < (last.started_at, last.request_id))
        return [_record(row) for row in await self._session.scalars(_newest_first(query).limit(limit))]

    async def sums(self, which: UsageFilter, apart: Collection[str]) -> list[UsageSum]:
        """Sums of whole hours, told apart by `apart` (any of hour, key, project, service); outcomes are not."""
        names = [name for name in ("hour", "key", "project", "service") if name in apart]
        totals = [func.sum(getattr(UsageHourRow, counter)) for counter in _COUNTERS]
        found: dict[tuple[Any, ...], UsageSum] = {}
        for row in await self._session.execute(_grouped(UsageHourRow, names, totals, which)):
            values = tuple(row)
            group = values[: len(names)]
            counts = {name: int(value or 0) for name, value in zip(_COUNTERS, values[len(names) :], strict=True)}
            found[group] = UsageSum(dict(zip(names, group, strict=True)), **counts, ttft=Counter())
        query = _grouped(UsageTtftRow, [*names, "bucket"], [func.sum(UsageTtftRow.requests)], which)
        for row in await self._session.execute(query):
            *group, bucket, count = tuple(row)
            found[tuple(group)].ttft[bucket] += int(count)
        return list(found.values())

    async def last_batch(self, gateway_id: str) -> int:
        """The highest sequence counted of a gateway, which ships in order; 0 before the first."""
        query = select(func.max(UsageBatchRow.sequence)).where(UsageBatchRow.gateway_id == gateway_id)
        return await self._session.scalar(query) or 0

    async def used_since(self, since: datetime) -> dict[tuple[str, str], Used]:
        """What was used in whole hours from `since` on, by key and project."""
        tokens = func.sum(UsageHourRow.prompt_tokens + UsageHourRow.completion_tokens)
        query = (
            select(UsageHourRow.api_key_id, UsageHourRow.project, tokens, func.sum(UsageHourRow.cost_micros))
            .where(UsageHourRow.hour >= since)
            .group_by(UsageHourRow.api_key_id, UsageHourRow.project)
        )
        rows = await self._session.execute(query)
        return {(key, project): Used(int(tokens or 0), int(cost or 0)) for key, project, tokens, cost in rows}

    async def _add_up(self, records: Iterable[UsageRecord]) -> None:
        hours: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
        classes: Counter[tuple[Any, ...]] = Counter()
        for record in records:
            group = (_hour(record.started_at), record.api_key_id, record.project, record.service)
            hours[group]["requests"] += 1
            hours[group]["errors"] += record.outcome not in FINE_OUTCOMES
            hours[group]["prompt_tokens"] += record.prompt_tokens or 0
            hours[group]["completion_tokens"] += record.completion_tokens or 0
            hours[group]["cost_micros"] += record.cost_micros or 0
            hours[group]["unpriced"] += _is_unpriced(record)
            if record.ttft_ms is not None:
                classes[*group, ttft_class(record.ttft_ms)] += 1
        await self._increase(UsageHourRow, {group: dict(counts) for group, counts in hours.items()})
        await self._increase(UsageTtftRow, {group: {"requests": count} for group, count in classes.items()})

    async def _increase(self, table: type[Base], amounts: dict[tuple[Any, ...], dict[str, int]]) -> None:
        """Adds to the rows of groups; all `amounts` have the same names."""
        if not amounts:
            return
        columns = table.__table__.columns
        keys = [column.name for column in table.__table__.primary_key]
        # In one order everywhere: two gateways that report at once must not wait for each other in a circle.
        ordered = sorted(amounts.items(), key=lambda item: item[0])
        statement = self._insert(table.__table__)
        grown = {name: columns[name] + statement.excluded[name] for name in ordered[0][1]}
        rows = [dict(zip(keys, group, strict=True)) | counts for group, counts in ordered]
        connection = await self._session.connection()
        await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=grown), rows)

    def _insert(self, table: Any) -> Any:
        dialect = self._session.get_bind().dialect.name
        return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def ttft_class(ttft_ms: float) -> int:
    """The class of a time to first token."""
    return round(math.log(max(ttft_ms, 0.1)) / _CLASS_RATIO)


def ttft_percentile(classes: Counter[int], share: float) -> float | None:
    """The time (ms) within which `share` of the requests had their first token; None without any."""
    wanted = share * classes.total()
    reached = 0
    for bucket, count in sorted(classes.items()):
        reached += count
        if reached >= wanted:
            return round(math.exp(bucket * _CLASS_RATIO), 1)
    return None


_LENGTHS = {
    column.name: column.type.length
    for column in UsageRecordRow.__table__.columns
    if isinstance(column.type, String) and column.type.length and column.name != "outcome"
}


def _storable(record: UsageRecord) -> UsageRecord:
    """`record` with texts that fit their columns: one odd record must not hold up all that a gateway has to report."""
    fitting: dict[str, str] = {}
    for name, length in _LENGTHS.items():
        text = getattr(record, name)
        if text and (len(text) > length or "\0" in text):
            fitting[name] = text.replace("\0", "")[:length]
    return record.model_copy(update=fitting) if fitting else record


def _is_unpriced(record: UsageRecord) -> bool:
    return record.cost_micros is None and bool(record.prompt_tokens or record.completion_tokens)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _record(row: UsageRecordRow) -> UsageRecord:
    return UsageRecord.model_validate(row, from_attributes=True)


def _newest_first(query: Select[UsageRecordRow]) -> Select[UsageRecordRow]:
    return query.order_by(UsageRecordRow.started_at.desc(), UsageRecordRow.request_id.desc())


def _record_conditions(which: UsageFilter) -> list[ColumnElement[bool]]:
    conditions = _conditions(UsageRecordRow, UsageRecordRow.started_at, which)
    if which.outcome is not None:
        conditions.append(UsageRecordRow.outcome == which.outcome.value)
    return conditions


def _grouped(table: Any, names: Sequence[str], totals: Sequence[Any], which: UsageFilter) -> Any:
    columns = [getattr(table, "api_key_id" if name == "key" else name) for name in names]
    whole = replace(which, since=_hour(which.since) if which.since else None)
    query = select(*columns, *totals).where(*_conditions(table, table.hour, whole)).group_by(*columns)
    return query.order_by(*columns)


def _conditions(table: Any, time: Any, which: UsageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if which.projects is not None:
        conditions.append(table.project.in_(which.projects))
    for name in ("api_key_id", "service"):
        value = getattr(which, name)
        if value is not None:
            conditions.append(getattr(table, name) == value)
    if which.since is not None:
        conditions.append(time >= which.since)
    if which.until is not None:
        conditions.append(time < which.until)
    return conditions
