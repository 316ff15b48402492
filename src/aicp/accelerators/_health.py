"""What ails a device, said alike by every driver: a normalised code, the cause, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from aicp.core.accelerator import AcceleratorHealth, HealthCode, HealthFinding

NEXT = {
    HealthCode.MEMORY_UNCORRECTABLE: "Drain the node and reset the device; replace it if memory errors return.",
    HealthCode.MEMORY_WEAR: "Nothing has to be done now; plan a replacement if the number keeps rising.",
    HealthCode.MEMORY_REPAIR_PENDING: "Drain the node when it suits and reset the device or restart the machine.",
    HealthCode.DEVICE_LOST: "Restart the machine; if the device stays away, check its seat, power and cables.",
    HealthCode.INTERNAL: "Drain the node and reset the device; if it returns, update its firmware or replace it.",
    HealthCode.LINK: "Drain the node and reset the device; if it returns, check the links, bridges and cables.",
    HealthCode.OVERHEATING: "Check fans, air flow and the temperature of the room, or lower the device's power limit.",
    HealthCode.POWER: "Check the power supply and its cables, and the power limits of the machine.",
    HealthCode.DRIVER: "Load the vendor's driver anew, or install the version that fits its library and the device.",
    HealthCode.UNKNOWN: "Look at the kernel log and at the vendor's own tool on the node.",
}


class Verdict(TypedDict):
    """The fields of an Accelerator that speak of its health."""

    health: AcceleratorHealth
    health_reason: str | None
    findings: list[HealthFinding]


def failed(code: HealthCode, cause: str, action: str | None = None) -> HealthFinding:
    """The device must not get work. `action` only where it needs other than what its code always needs."""
    return HealthFinding(code=code, severity=AcceleratorHealth.FAILED, cause=cause, action=action or NEXT[code])


def degraded(code: HealthCode, cause: str) -> HealthFinding:
    """The device works, and somebody should look after it."""
    return HealthFinding(code=code, severity=AcceleratorHealth.DEGRADED, cause=cause, action=NEXT[code])


def verdict(findings: Sequence[HealthFinding]) -> Verdict:
    """The worst severity among the findings with the causes of that severity; healthy when there are none."""
    if not findings:
        return {"health": AcceleratorHealth.HEALTHY, "health_reason": None, "findings": []}
    ordered = sorted(findings, key=lambda found: found.severity is not AcceleratorHealth.FAILED)
    worst = ordered[0].severity
    causes = "; ".join(found.cause for found in ordered if found.severity is worst)
    return {"health": worst, "health_reason": f"The driver reports {causes}.", "findings": ordered}
