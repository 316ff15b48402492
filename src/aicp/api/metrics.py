"""Measured numbers over time, and the first page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from aicp.api.access import CallerDep, permits
from aicp.api.use_cases import use_case
from aicp.control.metrics import Metrics
from aicp.core.identity import Permission
from aicp.core.metric import MetricSeries
from aicp.core.overview import Overview

router = APIRouter(prefix="/api/v1", tags=["metrics"], dependencies=[permits(Permission.SERVICE_READ)])
MetricsUse = Annotated[Metrics, use_case(Metrics)]


@router.get("/metrics")
async def get_metrics(
    metrics: MetricsUse,
    caller: CallerDep,
    name: Annotated[str, Query(max_length=100, description="e.g. requests_per_second, pool_accelerators_used")],
    service: str | None = None,
    node: str | None = None,
    pool: str | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    step: Annotated[int | None, Query(ge=15, le=86400, description="seconds")] = None,
) -> list[MetricSeries]:
    """Series of one metric, by default of the last hour; a step holds the mean of its samples."""
    return await metrics.series(
        caller, name, service=service, node=node, pool=pool, since=since, until=until, step_seconds=step
    )


@router.get("/overview")
async def get_overview(metrics: MetricsUse, caller: CallerDep) -> Overview:
    """Four figures with their last 24 hours, and the busiest services."""
    return await metrics.overview(caller)
