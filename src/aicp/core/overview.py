"""What the first page shows."""

from __future__ import annotations

from pydantic import Field

from aicp.core.service import ServiceState
from aicp.core.value import Value


class OverviewFigure(Value):
    """One number now, of how many, and its last 24 hours."""

    value: float | None
    total: float | None = None
    points: list[tuple[float, float]] = Field(default=[], description="(epoch second, value)")


class OverviewService(Value):
    """Traffic of one service over the last minutes; None where there was none."""

    name: str
    state: ServiceState
    requests_per_second: float = 0
    tokens_per_second: float = 0
    ttft_ms_p99: float | None = None


class Overview(Value):
    """Four figures and the busiest services. `errors` is a share of all requests."""

    accelerators: OverviewFigure
    memory: OverviewFigure
    requests: OverviewFigure
    errors: OverviewFigure
    services: list[OverviewService] = []
