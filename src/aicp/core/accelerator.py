"""Physical devices as the pool sees them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, Field

from aicp.core.slice import Slicing
from aicp.core.value import Value

SIMULATED = "simulated"
"""Name of the driver whose devices are not there; no maker's."""


class AcceleratorHealth(StrEnum):
    """What the driver says of the device."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"
    UNKNOWN = "unknown"


class AcceleratorProcess(Value):
    """A process that holds memory on a device."""

    pid: int
    name: str
    memory_bytes: int | None = None


class AcceleratorMetrics(Value):
    """What is measured now; None where the device does not say."""

    memory_used_bytes: int | None = None
    utilization_percent: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    processes: list[AcceleratorProcess] = []


class Accelerator(Value):
    """One physical device. `index` is the driver's own; `device_id` is stable (UUID, serial or `cpu-0`).

    For the `cpu` driver one device is the whole machine: `memory_bytes` is the host memory that engines may use
    and `cores` the usable cores.
    """

    vendor: str = Field(description="name of the driver that found it: cpu, nvidia, ...")
    index: int
    device_id: str
    product: str
    memory_bytes: int
    cores: int | None = None
    driver_version: str | None = None
    health: AcceleratorHealth = AcceleratorHealth.HEALTHY
    health_reason: str | None = None
    simulated: bool = Field(default=False, description="made up by the driver `simulated`: nothing computes on it")
    slicing: list[Slicing] = Field(default=[], description="ways it can be cut on its node, the best first")
    features: list[str] = []
    facts: dict[str, Any] = {}
    metrics: AcceleratorMetrics = AcceleratorMetrics()


class MetricSample(Value):
    """One measured number at one time. `name` e.g. `accelerator_memory_used_bytes`; `labels` e.g. node, device."""

    name: str
    labels: dict[str, str] = {}
    at: AwareDatetime
    value: float
