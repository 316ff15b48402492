"""Samples, series and roll-ups in both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.support.clock import FakeClock

from aicp.core.accelerator import MetricSample
from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.store.database import Database
from aicp.store.metrics import Metrics
from aicp.store.traffic import Traffic
from aicp.store.usage import Usage


def sample(at: datetime, value: float, **labels: str) -> MetricSample:
    return MetricSample(name="m", labels=labels, at=at, value=value)


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
        async with database.transaction() as tx:
            await Metrics(tx).roll_up(now)
            found = await Metrics(tx).series("m", since=start, until=now, step_seconds=step)
        return found[0].points if found else []

    first = start.timestamp()
    assert len(await points(start + timedelta(hours=2), 15)) == 5
    assert await points(start + timedelta(days=2), 300) == [(first, 4.0), (first + 300, 30.0)]
    assert await points(start + timedelta(days=40), 3600) == [(first, 9.2)]
    assert await points(start + timedelta(days=800), 3600) == []


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
