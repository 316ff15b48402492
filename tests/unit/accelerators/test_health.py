"""One verdict of many findings, the same for every vendor."""

from __future__ import annotations

import pytest

from aicp.accelerators._health import NEXT, degraded, failed, verdict
from aicp.core.accelerator import AcceleratorHealth, HealthCode


def test_a_device_without_findings_is_well() -> None:
    assert verdict([]) == {"health": AcceleratorHealth.HEALTHY, "health_reason": None, "findings": []}


def test_the_worst_decides_and_comes_first() -> None:
    warm, wear = degraded(HealthCode.OVERHEATING, "it is warm"), degraded(HealthCode.MEMORY_WEAR, "it wears")
    broken = failed(HealthCode.LINK, "its link is broken")
    said = verdict([warm, broken, wear])
    assert said["health"] is AcceleratorHealth.FAILED
    assert said["health_reason"] == "The driver reports its link is broken."
    assert said["findings"] == [broken, warm, wear]
    assert verdict([warm, wear])["health_reason"] == "The driver reports it is warm; it wears."


@pytest.mark.parametrize("code", HealthCode)
def test_every_code_says_what_to_do(code: HealthCode) -> None:
    assert NEXT[code].endswith(".")
    assert degraded(code, "x").action == NEXT[code]
    assert failed(code, "x", "Do this.").action == "Do this."
