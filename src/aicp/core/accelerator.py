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


class HealthCode(StrEnum):
    """What ails a device, in the same words for every vendor."""

    MEMORY_UNCORRECTABLE = "memory_uncorrectable"
    """Memory gave wrong data that could not be corrected, or can no longer be repaired."""
    MEMORY_WEAR = "memory_wear"
    """Memory errors were corrected or bad parts set aside; or the vendor does not tell which kind they were."""
    MEMORY_REPAIR_PENDING = "memory_repair_pending"
    """Bad memory is set aside at the next reset or restart."""
    DEVICE_LOST = "device_lost"
    """The device no longer answers on its bus."""
    INTERNAL = "internal"
    """The device's own controller or firmware failed."""
    LINK = "link"
    """A link to other devices or to the host is faulty."""
    OVERHEATING = "overheating"
    """The device slows itself down because it is too hot."""
    POWER = "power"
    """The device slows itself down because its power supply asks for it."""
    DRIVER = "driver"
    """The driver is not working, or does not fit its library or the device."""
    UNKNOWN = "unknown"
    """The vendor reports a fault without saying which, or does not answer."""


class HealthFinding(Value):
    """One thing that ails a device: its code, whether work is still possible, why, and what to do next."""

    code: HealthCode
    severity: AcceleratorHealth
    cause: str = Field(description="what the driver reports, without a final stop")
    action: str = Field(description="what a person does next, a whole sentence")


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
    findings: list[HealthFinding] = Field(default=[], description="what ails it, the worst first; empty when well")
    simulated: bool = Field(default=False, description="made up by the driver `simulated`: nothing computes on it")
    slicing: list[Slicing] = Field(default=[], description="ways it can be cut on its node, the best first")
    slicing_reason: str | None = Field(default=None, description="why it cannot be cut on its node")
    features: list[str] = []
    facts: dict[str, Any] = {}
    metrics: AcceleratorMetrics = AcceleratorMetrics()


class MetricSample(Value):
    """One measured number at one time. `name` e.g. `accelerator_memory_used_bytes`; `labels` e.g. node, device."""

    name: str
    labels: dict[str, str] = {}
    at: AwareDatetime
    value: float
