"""Takes a sample of everything measurable every 15 s, and keeps the store small."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from aicp.core.accelerator import MetricSample
from aicp.core.clock import Clock
from aicp.core.errors import AicpError
from aicp.core.launch import ReplicaState
from aicp.core.node import Node, NodeState
from aicp.reconcile.pool_samples import pool_values
from aicp.scheduler.placement import Snapshot
from aicp.store.database import Database
from aicp.store.gateways import Gateways
from aicp.store.metrics import RAW_SECONDS, Metrics
from aicp.store.nodes import Nodes
from aicp.store.pools import make_snapshot, pool_use
from aicp.store.replicas import Replicas, StoredReplica
from aicp.store.services import Services
from aicp.store.traffic import STEP_SECONDS, Traffic, TrafficStep

log = logging.getLogger(__name__)

_LATE = timedelta(minutes=5)
"""Usage arrives when a request has ended; steps younger than this are summed again each time."""
_AFTER_STEP = 0.5
_HOUSEKEEPING_EVERY = timedelta(minutes=5)
_PIECES_AT_ONCE = 20
_BREATH = 0.12
"""SQLite's waiting writers look every 0.1 s whether it is their turn; without a pause they might never see one."""
_KEEP_ENDED_REPLICAS = timedelta(days=30)


class MetricSampler:
    """Run one a platform."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._tidied_at: datetime | None = None

    async def run(self) -> None:
        """Samples until cancelled. A store that does not answer costs samples, nothing else."""
        while True:
            try:
                await self.sample()
                await self.tidy()
            except AicpError as error:
                log.warning("no metric sample: %s", error.message)
            # Just after a step begins: a sleep that ends a moment early must not fall into the step before.
            await asyncio.sleep(RAW_SECONDS - (self._clock.now().timestamp() - _AFTER_STEP) % RAW_SECONDS)

    async def sample(self) -> list[MetricSample]:
        """One sample of every accelerator, replica and service."""
        now = self._clock.now()
        step_now = now - timedelta(seconds=now.timestamp() % STEP_SECONDS)
        async with self._database.snapshot() as tx:
            nodes = await Nodes(tx).all()
            replicas = await Replicas(tx).charged()
            pending = await Replicas(tx).in_state(ReplicaState.PENDING)
            pools = {service.name: service.spec.pool for service in await Services(tx).all()} if pending else {}
            gateways = await Gateways(tx).live(now)
            steps = await Traffic(tx).steps(step_now - _LATE, step_now)
        inflight: Counter[str] = Counter()
        for gateway in gateways:
            inflight.update(gateway.inflight)
        waiting = Counter(pools[item.replica.service] for item in pending if item.replica.service in pools)
        samples = [
            *_accelerator_samples(nodes, now),
            *_pool_samples(nodes, make_snapshot(nodes, replicas), waiting, now),
            *_replica_samples(replicas, inflight, now),
            *_traffic_samples(steps, step_now),
        ]
        async with self._database.transaction() as tx:
            await Metrics(tx).add(samples)
        return samples

    async def tidy(self) -> None:
        """Rolls samples up and forgets replicas that ended long ago; every few minutes.

        After a day off there is much to roll up; the rest waits for the next call, so that no sample is missed.
        """
        now = self._clock.now()
        if self._tidied_at is not None and now - self._tidied_at < _HOUSEKEEPING_EVERY:
            return
        async with self._database.transaction() as tx:
            await Replicas(tx).forget(now - _KEEP_ENDED_REPLICAS)
        for _ in range(_PIECES_AT_ONCE):
            async with self._database.transaction() as tx:
                moved = await Metrics(tx).roll_up(now)
            if not moved:
                self._tidied_at = now
                return
            await asyncio.sleep(_BREATH)


def _sample(name: str, at: datetime, value: float | None, **labels: str) -> list[MetricSample]:
    return [] if value is None else [MetricSample(name=name, labels=labels, at=at, value=value)]


def _accelerator_samples(nodes: Iterable[Node], now: datetime) -> list[MetricSample]:
    samples: list[MetricSample] = []
    for node in nodes:
        if node.status is None or node.state == NodeState.LOST:
            continue
        # what is made up is not kept as if it had been measured
        for device in (item for item in node.status.accelerators if not item.simulated):
            measured = device.metrics
            for name, value in {
                "accelerator_memory_used_bytes": measured.memory_used_bytes,
                "accelerator_utilization_percent": measured.utilization_percent,
                "accelerator_temperature_celsius": measured.temperature_celsius,
                "accelerator_power_watts": measured.power_watts,
            }.items():
                samples += _sample(name, now, value, node=node.id, device=device.device_id)
    return samples


def _pool_samples(nodes: list[Node], snapshot: Snapshot, waiting: Counter[str], now: datetime) -> list[MetricSample]:
    use = pool_use(nodes, snapshot)
    samples = [
        *_sample("platform_accelerators_in_use", now, use.accelerators_in_use),
        *_sample("platform_memory_used_bytes", now, use.memory_used_bytes),
    ]
    for pool, values in pool_values(nodes, snapshot.commitments, waiting).items():
        for name, value in values.items():
            samples += _sample(name, now, value, pool=pool)
    return samples


def _replica_samples(replicas: Iterable[StoredReplica], inflight: Counter[str], now: datetime) -> list[MetricSample]:
    running: Counter[str] = Counter()
    samples: list[MetricSample] = []
    for item in replicas:
        replica = item.replica
        running[replica.service] += inflight[replica.id]
        samples += _sample(
            "replica_memory_bytes", now, replica.memory_bytes, service=replica.service, replica=replica.id
        )
    for service, count in running.items():
        samples += _sample("requests_running", now, count, service=service)
    return samples


def _traffic_samples(steps: Sequence[TrafficStep], step_now: datetime) -> list[MetricSample]:
    samples: list[MetricSample] = []
    requests: Counter[int] = Counter()
    errors: Counter[int] = Counter()
    for step in steps:
        at = datetime.fromtimestamp(step.at, UTC)
        requests[step.at] += step.requests
        errors[step.at] += step.errors
        samples += _sample("requests_per_second", at, step.requests / STEP_SECONDS, service=step.service)
        samples += _sample("errors_per_second", at, step.errors / STEP_SECONDS, service=step.service)
        samples += _sample("tokens_per_second", at, step.tokens / STEP_SECONDS, service=step.service)
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            value = _percentile(step.ttft_ms, share)
            samples += _sample("ttft_ms", at, value, service=step.service, quantile=name)
    quiet = int(step_now.timestamp()) - STEP_SECONDS
    requests.setdefault(quiet, 0)
    for second, count in requests.items():
        at = datetime.fromtimestamp(second, UTC)
        samples += _sample("platform_requests_per_second", at, count / STEP_SECONDS)
        samples += _sample("platform_error_ratio", at, errors[second] / count if count else None)
    return samples


def _percentile(rising: Sequence[float], share: float) -> float | None:
    return rising[min(len(rising) - 1, int(len(rising) * share))] if rising else None
