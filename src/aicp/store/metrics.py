"""Metric samples: 15 s apart for a day, then means over 5 min for 30 days, then means over 1 h.

Roll-ups are made from the finer ones, so a mean is weighted by how many samples it stands for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint, delete, func, select
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
        """Moves what is older than its level to the next one and drops what is older than all; answers how many went.

        Only whole steps of the next level move, so a mean is never split.
        """
        moved = 0
        for (step, keep), (coarse, _) in pairwise(LEVELS):
            border = _floor(now - keep, coarse)
            moved += await self._coarsen(step, coarse, border)
        last, keep = LEVELS[-1]
        gone = await self._session.execute(
            delete(MetricSampleRow)
            .where(MetricSampleRow.step == last, MetricSampleRow.at < _floor(now - keep, last))
            .returning(MetricSampleRow.at)
        )
        return moved + len(gone.all())

    async def _coarsen(self, step: int, coarse: int, border: int) -> int:
        old = (MetricSampleRow.step == step) & (MetricSampleRow.at < border)
        bucket = MetricSampleRow.at - MetricSampleRow.at % coarse
        groups = await self._session.execute(
            select(
                MetricSampleRow.series_id,
                bucket.label("bucket"),
                func.sum(MetricSampleRow.value * MetricSampleRow.weight),
                func.sum(MetricSampleRow.weight),
            )
            .where(old)
            .group_by(MetricSampleRow.series_id, "bucket")
        )
        for identity, at, total, weight in groups.all():
            await self._session.merge(
                MetricSampleRow(series_id=identity, step=coarse, at=at, value=total / weight, weight=weight)
            )
        await self._session.flush()
        gone = await self._session.execute(delete(MetricSampleRow).where(old).returning(MetricSampleRow.at))
        return len(gone.all())

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


def _key(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), sort_keys=True, separators=(",", ":"))


def _floor(at: datetime, step: int) -> int:
    second = int(at.timestamp())
    return second - second % step


def _matches(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())
