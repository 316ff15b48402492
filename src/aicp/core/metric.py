"""Measured numbers over time."""

from __future__ import annotations

from pydantic import Field

from aicp.core.value import Value


class MetricSeries(Value):
    """One name with one set of labels."""

    name: str
    labels: dict[str, str] = {}
    points: list[tuple[float, float]] = Field(
        default=[], description="(epoch second at which a step begins, mean over the step), in order of time"
    )
