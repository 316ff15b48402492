"""What the first page shows."""

from __future__ import annotations

from pydantic import Field

from aicp.core.service import ServiceState, ServiceTraffic
from aicp.core.value import Value


class OverviewFigure(Value):
    """One number now, of how many, and its last 24 hours."""

    value: float | None
    total: float | None = None
    points: list[tuple[float, float]] = Field(default=[], description="(epoch second, value)")


class OverviewService(ServiceTraffic):
    """One of the busiest services."""

    name: str
    state: ServiceState


class Overview(Value):
    """Four figures and the busiest services. `errors` is a share of all requests."""

    accelerators: OverviewFigure
    memory: OverviewFigure
    requests: OverviewFigure
    errors: OverviewFigure
    services: list[OverviewService] = []
