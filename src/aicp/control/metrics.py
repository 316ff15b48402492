"""Measured numbers over time, and the figures of the first page."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from aicp.core.access import Caller
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError
from aicp.core.identity import Permission
from aicp.core.metric import MetricSeries
from aicp.core.model import Visibility
from aicp.core.overview import Overview, OverviewFigure, OverviewService
from aicp.core.service import Service, ServiceTraffic
from aicp.store.database import Database, Transaction
from aicp.store.metrics import Metrics as StoredMetrics
from aicp.store.nodes import Nodes
from aicp.store.pools import Pools, pool_use
from aicp.store.services import Services

_DAY = timedelta(hours=24)
_NOW = timedelta(minutes=2)
_SPARK_SECONDS = 900
_TOP = 8
_TRAFFIC = {
    "requests_per_second": "requests_per_second",
    "tokens_per_second": "tokens_per_second",
    "ttft_ms": "ttft_ms_p99",
}
"""Metric -> the field it fills."""
TRAFFIC_SORTS = {"requests": "requests_per_second", "tokens": "tokens_per_second", "ttft": "ttft_ms_p99"}
"""What services may be sorted by beside their own columns, and the field."""


class Metrics:
    """Series of measured numbers."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def series(
        self,
        caller: Caller,
        name: str,
        *,
        service: str | None,
        node: str | None,
        pool: str | None,
        since: datetime | None,
        until: datetime | None,
        step_seconds: int | None,
    ) -> list[MetricSeries]:
        """Series of `name`, by default of the last hour. Those of services need to be seen, as do nodes and pools."""
        until = until or self._clock.now()
        since = since or until - timedelta(hours=1)
        if since >= until:
            raise InvalidError("`since` must be before `until`.")
        asked = {"service": service, "node": node, "pool": pool}
        labels = {key: value for key, value in asked.items() if value is not None}
        async with self._database.snapshot() as tx:
            if node is not None:
                labels["node"] = (await Nodes(tx).get(node)).id
            if pool is not None:
                await Pools(tx).get(pool)
            found = await StoredMetrics(tx).series(
                name, since=since, until=until, step_seconds=step_seconds, labels=labels
            )
            visible = {item.name for item in await visible_services(tx, caller)}
        return [
            item
            for item in found
            if item.labels.get("service") in visible
            or ("service" not in item.labels and caller.may(Permission.NODE_READ))
        ]

    async def overview(self, caller: Caller) -> Overview:
        """Four figures with their last 24 hours, and the busiest services."""
        now = self._clock.now()
        async with self._database.snapshot() as tx:
            use = pool_use(await Nodes(tx).all(), await Pools(tx).snapshot())
            services = await visible_services(tx, caller)
            traffic = await service_traffic(tx, now)
            figures = {
                "accelerators": OverviewFigure(
                    value=use.accelerators_in_use,
                    total=use.accelerators,
                    points=await self._spark(tx, "platform_accelerators_in_use", now),
                ),
                "memory": OverviewFigure(
                    value=use.memory_used_bytes,
                    total=use.memory_bytes,
                    points=await self._spark(tx, "platform_memory_used_bytes", now),
                ),
            }
            for figure, name in (("requests", "platform_requests_per_second"), ("errors", "platform_error_ratio")):
                newest = await StoredMetrics(tx).latest(name, since=now - _NOW)
                value = newest[0][1] if newest else 0.0
                figures[figure] = OverviewFigure(value=value, points=await self._spark(tx, name, now))
        return Overview(**figures, services=_top(services, traffic))

    async def _spark(self, tx: Transaction, name: str, now: datetime) -> list[tuple[float, float]]:
        found = await StoredMetrics(tx).series(name, since=now - _DAY, until=now, step_seconds=_SPARK_SECONDS)
        return found[0].points if found else []


async def service_traffic(tx: Transaction, now: datetime) -> dict[str, ServiceTraffic]:
    """Service name -> its traffic of the last minutes; those that had none are not in it."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for name, field in _TRAFFIC.items():
        for labels, value in await StoredMetrics(tx).latest(name, since=now - _NOW):
            if labels.get("quantile") in (None, "p99"):
                values[labels.get("service", "")][field] = value
    return {name: ServiceTraffic.model_validate(found) for name, found in values.items()}


def _top(services: list[Service], traffic: dict[str, ServiceTraffic]) -> list[OverviewService]:
    none = ServiceTraffic()
    rows = [
        OverviewService(name=item.name, state=item.state, **traffic.get(item.name, none).model_dump())
        for item in services
    ]
    return sorted(rows, key=lambda row: (-row.requests_per_second, row.name))[:_TOP]


async def visible_services(tx: Transaction, caller: Caller) -> list[Service]:
    """Services that a caller may see: those of its projects, and public ones."""
    projects = caller.visible_projects(Permission.SERVICE_READ)
    return [
        service
        for service in await Services(tx).all()
        if projects is None
        or service.project in projects
        or (service.spec.visibility == Visibility.PUBLIC and caller.may(Permission.SERVICE_READ))
    ]
