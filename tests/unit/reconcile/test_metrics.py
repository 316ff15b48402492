"""Samples of everything measurable."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from tests.support.clock import FakeClock
from tests.support.runner import FakeRunner, make_node_status
from tests.support.services import Platform

from aicp.accelerators.simulated import SimulatedDriver
from aicp.core.accelerator import MetricSample
from aicp.core.gateway import GatewayStatus
from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.reconcile import metrics
from aicp.reconcile.metrics import MetricSampler
from aicp.store import metrics as store_metrics
from aicp.store.database import Database
from aicp.store.gateways import Gateways
from aicp.store.metrics import RAW_SECONDS, Metrics
from aicp.store.replicas import Replicas
from aicp.store.usage import Usage


async def test_accelerators_replicas_and_traffic_are_sampled(sqlite: Database, clock: FakeClock):
    platform = await Platform(sqlite, clock).prepare()
    await platform.publish("demo")
    await platform.passes()
    replica = platform.runner.starts[0]
    clock.advance(45)
    async with sqlite.transaction() as tx:
        status = GatewayStatus(id="g", etag="e", inflight={replica: 3}, seen_at=clock.now())
        await Gateways(tx).save(status)
        records = [
            UsageRecord(
                request_id=f"r{number}",
                api_key_id="k",
                project="default",
                service="demo",
                endpoint="/v1/chat/completions",
                started_at=clock.now() - timedelta(seconds=30),
                outcome=Outcome.OK if number else Outcome.ENGINE_ERROR,
                completion_tokens=15,
                ttft_ms=100.0 + number,
            )
            for number in range(30)
        ]
        await Usage(tx).accept(UsageBatch(gateway_id="g", sequence=1, records=records), clock.now())
    samples = await MetricSampler(sqlite, clock).sample()
    found = {(item.name, item.labels.get("quantile")): item.value for item in samples if item.value}
    assert found["requests_running", None] == 3
    assert found["requests_per_second", None] == 2
    assert found["tokens_per_second", None] == 30
    assert found["ttft_ms", "p50"] == 115
    assert found["ttft_ms", "p99"] == 129
    assert found["platform_accelerators_in_use", None] == 1
    assert found["platform_error_ratio", None] == 1 / 30
    assert found["replica_memory_bytes", None] == 2**30


async def test_what_is_made_up_leaves_no_history(sqlite: Database, clock: FakeClock):
    status = make_node_status()
    devices = [*status.accelerators, *SimulatedDriver([("H100", 1)]).discover()]
    runner = FakeRunner(status.model_copy(update={"accelerators": devices}))
    platform = await Platform(sqlite, clock, runner=runner).prepare()
    await platform.passes()
    samples = await MetricSampler(sqlite, clock).sample()
    assert not [item for item in samples if "simulated" in item.labels.get("device", "")]


async def test_a_quiet_platform_has_a_rate_of_zero(sqlite: Database, clock: FakeClock):
    samples = await MetricSampler(sqlite, clock).sample()
    assert [(item.name, item.value) for item in samples if "requests" in item.name] == [
        ("platform_requests_per_second", 0)
    ]


async def test_a_backlog_is_rolled_up_over_several_calls(
    sqlite: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_metrics, "PIECE_SAMPLES", 1)
    monkeypatch.setattr(metrics, "_PIECES_AT_ONCE", 2)
    start = clock.now()
    async with sqlite.transaction() as tx:
        for number in range(3):
            at = start + timedelta(minutes=5 * number)
            await Metrics(tx).add([MetricSample(name="m", labels={}, at=at, value=number)])
    clock.advance(timedelta(days=2).total_seconds())
    sampler = MetricSampler(sqlite, clock)
    left: list[int | None] = []
    for _ in range(2):
        await sampler.tidy()
        async with sqlite.snapshot() as tx:
            raw = select(func.count()).where(store_metrics.MetricSampleRow.step == RAW_SECONDS)
            left.append(await tx.session.scalar(raw))
    assert left == [1, 0]


async def test_who_waits_for_a_place_is_counted_by_pool(sqlite: Database, clock: FakeClock):
    platform = await Platform(sqlite, clock).prepare()
    published = await platform.publish("demo")
    async with sqlite.transaction() as tx:
        for _ in range(2):
            await Replicas(tx).create(published.service.id, "demo", "default", 1, clock.now())
    samples = await MetricSampler(sqlite, clock).sample()
    found = {item.labels["pool"]: item.value for item in samples if item.name == "pool_waiting"}
    assert found == {"default": 2}
