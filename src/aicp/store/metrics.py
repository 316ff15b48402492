"""Metric samples: 15 s apart for a day, then means over 5 min for 30 days, then means over 1 h.

Roll-ups are made from the finer ones, so a mean is weighted by how many samples it stands for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CursorResult,
    ForeignKey,
    String,
    Text,
    UniqueConstraint,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.accelerator import MetricSample
from aicp.core.metric import MetricSeries
from aicp.store.database import Base, Transaction

RAW_SECONDS = 15
LEVELS: Sequence[tuple[int, timedelta]] = (
    (RAW_SECONDS, timedelta(days=1)),
    (300, timedelta(days=30)),
    (3600, timedelta(days=730)),
)
"""(step in seconds, how long it is kept). Each level is rolled up from the one before when that one's time is over."""
PIECE_SAMPLES = 20_000
"""About how many samples are rolled up at once: a tenth of a second on SQLite."""
MAX_POINTS = 2000
_STEPS = (15, 30, 60, 300, 900, 1800, 3600, 7200, 21600, 86400)
"""Steps of answers; every one from 300 on holds whole steps of the roll-ups."""


class MetricSeriesRow(Base):
    """One name with one set of labels."""

    __tablename__ = "metric_series"
    __table_args__ = (UniqueConstraint("name", "labels_key", name="uq_metric_series_name_labels"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(100))
    labels_key: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, Any]]


class MetricSampleRow(Base):
    """The mean over one step, and how many raw samples it stands for. `at` is the epoch second at which it begins."""

    __tablename__ = "metric_samples"

    series_id: Mapped[int] = mapped_column(ForeignKey("metric_series.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    value: Mapped[float]
    weight: Mapped[int]


class Metrics:
    """Queries over metric samples."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def add(self, samples: Sequence[MetricSample]) -> None:
        """Keeps raw samples; a second one in the same 15 s replaces the first."""
        series = await self._series_ids(samples)
        for sample in samples:
            identity = series[(sample.name, _key(sample.labels))]
            at = _floor(sample.at, RAW_SECONDS)
            await self._session.merge(
                MetricSampleRow(series_id=identity, step=RAW_SECONDS, at=at, value=sample.value, weight=1)
            )
        await self._session.flush()

    async def series(
        self,
        name: str,
        *,
        since: datetime,
        until: datetime,
        step_seconds: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[MetricSeries]:
        """Every series of `name` with these `labels`, in steps of at least `step_seconds` (None: fitting the range)."""
        span = max(1.0, (until - since).total_seconds())
        wanted_step = max(step_seconds or 0, span / MAX_POINTS)
        step = next((item for item in _STEPS if item >= wanted_step), _STEPS[-1])
        rows = await self._session.scalars(select(MetricSeriesRow).where(MetricSeriesRow.name == name))
        wanted = {row.id: row for row in rows if _matches(row.labels, labels or {})}
        bucket = MetricSampleRow.at - MetricSampleRow.at % step
        found = await self._session.execute(
            select(
                MetricSampleRow.series_id,
                bucket.label("bucket"),
                func.sum(MetricSampleRow.value * MetricSampleRow.weight),
                func.sum(MetricSampleRow.weight),
            )
            .where(
                MetricSampleRow.series_id.in_(wanted),
                MetricSampleRow.at >= int(since.timestamp()),
                MetricSampleRow.at < int(until.timestamp()),
            )
            .group_by(MetricSampleRow.series_id, "bucket")
            .order_by("bucket")
        )
        points: dict[int, list[tuple[float, float]]] = {identity: [] for identity in wanted}
        for identity, at, total, weight in found:
            points[identity].append((float(at), total / weight))
        return [
            MetricSeries(name=name, labels=dict(row.labels), points=points[row.id])
            for row in sorted(wanted.values(), key=lambda row: row.labels_key)
            if points[row.id]
        ]

    async def latest(self, name: str, *, since: datetime) -> list[tuple[dict[str, str], float]]:
        """The newest value of each series of `name` that has one since then."""
        rows = await self._session.execute(
            select(MetricSeriesRow.labels, MetricSampleRow.value)
            .join(MetricSampleRow, MetricSampleRow.series_id == MetricSeriesRow.id)
            .where(MetricSeriesRow.name == name, MetricSampleRow.at >= int(since.timestamp()))
            .order_by(MetricSampleRow.at)
        )
        return list({_key(labels): (labels, value) for labels, value in rows}.values())

    async def roll_up(self, now: datetime) -> int:
        """Moves a piece of what is older than its level to the next one, or drops one of what is older than all.

        Answers how many samples went; 0 when all is done. A piece is small, because on SQLite nobody else writes
        meanwhile. Only whole steps of the next level move, so a mean is never split.
        """
        for (step, keep), (coarse, _) in pairwise(LEVELS):
            piece = await self._oldest(step, coarse, _floor(now - keep, coarse))
            if piece is not None:
                return await self._coarsen(step, coarse, piece)
        last, keep = LEVELS[-1]
        piece = await self._oldest(last, last, _floor(now - keep, last))
        return 0 if piece is None else await self._drop(last, piece)

    async def _oldest(self, step: int, coarse: int, border: int) -> tuple[int, int] | None:
        # Asked for by series: that is how the key is ordered, so no series' samples are all read.
        first = (
            select(func.min(MetricSampleRow.at))
            .where(MetricSampleRow.series_id == MetricSeriesRow.id, MetricSampleRow.step == step)
            .scalar_subquery()
        )
        firsts = select(first.label("at")).select_from(MetricSeriesRow).subquery()
        old = firsts.c.at < border
        start, series = (await self._session.execute(select(func.min(firsts.c.at), func.count()).where(old))).one()
        if start is None:
            return None
        start -= start % coarse
        span = max(coarse, PIECE_SAMPLES // series * step // coarse * coarse)
        return start, min(border, start + span)

    async def _coarsen(self, step: int, coarse: int, piece: tuple[int, int]) -> int:
        weight = func.sum(MetricSampleRow.weight)
        bucket = (MetricSampleRow.at - MetricSampleRow.at % coarse).label("bucket")
        means = (
            select(
                MetricSampleRow.series_id,
                literal(coarse),
                bucket,
                func.sum(MetricSampleRow.value * MetricSampleRow.weight) / weight,
                weight,
            )
            .where(_within(step, piece))
            .group_by(MetricSampleRow.series_id, "bucket")
        )
        dialect = self._session.get_bind().dialect.name
        statement: Any = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(MetricSampleRow)
        statement = statement.from_select(["series_id", "step", "at", "value", "weight"], means)
        fresh = {"value": statement.excluded.value, "weight": statement.excluded.weight}
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["series_id", "step", "at"], set_=fresh)
        )
        return await self._drop(step, piece)

    async def _drop(self, step: int, piece: tuple[int, int]) -> int:
        statement = delete(MetricSampleRow).where(_within(step, piece))
        gone = await self._session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", gone).rowcount

    async def _series_ids(self, samples: Sequence[MetricSample]) -> dict[tuple[str, str], int]:
        names = {sample.name for sample in samples}
        rows = await self._session.scalars(select(MetricSeriesRow).where(MetricSeriesRow.name.in_(names)))
        known = {(row.name, row.labels_key): row.id for row in rows}
        for sample in samples:
            key = (sample.name, _key(sample.labels))
            if key not in known:
                row = MetricSeriesRow(name=sample.name, labels_key=key[1], labels=dict(sample.labels))
                self._session.add(row)
                await self._session.flush()
                known[key] = row.id
        return known


def _within(step: int, piece: tuple[int, int]) -> ColumnElement[bool]:
    start, end = piece
    return (
        MetricSampleRow.series_id.in_(select(MetricSeriesRow.id))
        & (MetricSampleRow.step == step)
        & (MetricSampleRow.at >= start)
        & (MetricSampleRow.at < end)
    )


def _key(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), sort_keys=True, separators=(",", ":"))


def _floor(at: datetime, step: int) -> int:
    second = int(at.timestamp())
    return second - second % step


def _matches(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())
