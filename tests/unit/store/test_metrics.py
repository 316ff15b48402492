"""Samples, series and roll-ups in both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, select, text
from tests.support.clock import FakeClock

from aicp.core.accelerator import MetricSample
from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.store import metrics
from aicp.store.database import Database
from aicp.store.metrics import Metrics, MetricSampleRow, MetricSeriesRow
from aicp.store.traffic import Traffic
from aicp.store.usage import Usage


def sample(at: datetime, value: float, **labels: str) -> MetricSample:
    return MetricSample(name="m", labels=labels, at=at, value=value)


async def roll_up(database: Database, now: datetime) -> list[int]:
    """Piece by piece until nothing is left; answers how many samples each one took."""
    pieces: list[int] = []
    while True:
        async with database.transaction() as tx:
            moved = await Metrics(tx).roll_up(now)
        if not moved:
            return pieces
        pieces.append(moved)


async def test_series_are_told_apart_by_labels_and_averaged_by_step(database: Database, clock: FakeClock):
    start = clock.now()
    async with database.transaction() as tx:
        for index in range(8):
            at = start + timedelta(seconds=15 * index)
            await Metrics(tx).add([sample(at, index, node="a"), sample(at, 100, node="b")])
        await Metrics(tx).add([sample(start, 50, node="b")])
        until = start + timedelta(hours=1)
        [one] = await Metrics(tx).series("m", since=start, until=until, step_seconds=60, labels={"node": "a"})
        both = await Metrics(tx).series("m", since=start, until=until)
        latest = await Metrics(tx).latest("m", since=start)
    first = start.timestamp()
    assert one.points == [(first, 1.5), (first + 60, 5.5)]
    assert [series.labels["node"] for series in both] == ["a", "b"]
    assert both[1].points[0][1] == 50
    assert latest == [({"node": "a"}, 7), ({"node": "b"}, 100)]


async def test_roll_ups_keep_the_mean_whatever_the_number_of_samples(database: Database, clock: FakeClock):
    start = clock.now()
    values = [1.0, 2.0, 3.0, 10.0]
    async with database.transaction() as tx:
        for index, value in enumerate(values):
            await Metrics(tx).add([sample(start + timedelta(seconds=15 * index), value)])
        await Metrics(tx).add([sample(start + timedelta(minutes=5), 30.0)])

    async def points(now: datetime, step: int) -> list[tuple[float, float]]:
        await roll_up(database, now)
        async with database.snapshot() as tx:
            found = await Metrics(tx).series("m", since=start, until=now, step_seconds=step)
        return found[0].points if found else []

    first = start.timestamp()
    assert len(await points(start + timedelta(hours=2), 15)) == 5
    assert await points(start + timedelta(days=2), 300) == [(first, 4.0), (first + 300, 30.0)]
    assert await points(start + timedelta(days=40), 3600) == [(first, 9.2)]
    assert await points(start + timedelta(days=800), 3600) == []


async def test_a_backlog_is_rolled_up_in_pieces_with_the_same_means(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(metrics, "PIECE_SAMPLES", 100)
    start = clock.now()
    async with database.transaction() as tx:
        await Metrics(tx).add([sample(start, 0, node=node) for node in "ab"])
        rows = [
            MetricSampleRow(series_id=series.id, step=15, at=int(start.timestamp()) + 15 * index, value=index, weight=1)
            for series in await tx.session.scalars(select(MetricSeriesRow))
            for index in range(1, 240)
        ]
        tx.session.add_all(rows)
        # What a process that was killed between two levels left; the finer samples are the truth.
        tx.session.add(
            MetricSampleRow(series_id=rows[0].series_id, step=300, at=int(start.timestamp()), value=7, weight=1)
        )
    now = start + timedelta(days=2)
    assert await roll_up(database, now) == [80] * 6
    async with database.snapshot() as tx:
        both = await Metrics(tx).series("m", since=start, until=now, step_seconds=300)
        coarse = (await tx.session.scalars(select(MetricSampleRow.weight))).all()
    first = start.timestamp()
    for series in both:
        assert series.points == [(first + 300 * index, 9.5 + 20 * index) for index in range(12)]
    assert list(coarse) == [20] * 24


async def test_a_day_of_samples_keeps_writers_waiting_for_moments_only(sqlite: Database, clock: FakeClock):
    start = int(clock.now().timestamp())
    async with sqlite.transaction() as tx:
        await Metrics(tx).add([sample(clock.now(), 0, node=str(number)) for number in range(30)])
        await tx.session.execute(delete(MetricSampleRow))
        rows = (
            "WITH RECURSIVE step(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM step WHERE number < 5759)"
            " INSERT INTO metric_samples (series_id, step, at, value, weight)"
            " SELECT id, 15, :start + 15 * number, number, 1 FROM metric_series, step"
        )
        await tx.session.execute(text(rows), {"start": start})
    pieces = await roll_up(sqlite, clock.now() + timedelta(days=2))
    assert sum(pieces) == 30 * 5760
    assert max(pieces) <= metrics.PIECE_SAMPLES


async def test_traffic_is_counted_by_service_and_step(database: Database, clock: FakeClock):
    start = clock.now()

    def record(number: int, seconds: float, service: str = "demo", **more: object) -> UsageRecord:
        values = {"outcome": Outcome.OK, "completion_tokens": 10, "ttft_ms": 100.0 * number, **more}
        return UsageRecord(
            request_id=f"r{number}",
            api_key_id="k",
            project="default",
            service=service,
            endpoint="/v1/chat/completions",
            started_at=start + timedelta(seconds=seconds),
            **values,
        )

    records = [
        record(1, 0),
        record(2, 14.9),
        record(3, 15, outcome=Outcome.ENGINE_ERROR, completion_tokens=None, ttft_ms=None),
        record(4, 3, service="other"),
        record(5, 31),
    ]
    async with database.transaction() as tx:
        await Usage(tx).accept(UsageBatch(gateway_id="g", sequence=1, records=records), clock.now())
        steps = await Traffic(tx).steps(start, start + timedelta(seconds=30))
    found = {(step.service, step.at - int(start.timestamp())): step for step in steps}
    assert set(found) == {("demo", 0), ("demo", 15), ("other", 0)}
    first = found["demo", 0]
    assert (first.requests, first.errors, first.tokens, first.ttft_ms) == (2, 0, 20, (100.0, 200.0))
    assert (found["demo", 15].errors, found["demo", 15].tokens, found["demo", 15].ttft_ms) == (1, 0, ())
