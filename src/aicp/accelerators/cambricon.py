"""Cambricon MLUs through the driver's management library (libcndev.so)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aicp.accelerators._detector import DetectedDriver, by_index
from aicp.accelerators._health import degraded, failed
from aicp.core.accelerator import Accelerator, HealthCode, HealthFinding
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing

# States of the driver in cndevGetCardHealthStateV2, after the names in the library's interface; 4 is running.
_DRIVER_STATES = {
    5: failed(HealthCode.DRIVER, "the driver could not start the device"),
    6: degraded(HealthCode.DRIVER, "the driver resets the device"),
    7: failed(HealthCode.DRIVER, "the driver could not reset the device"),
}


class CambriconDriver(DetectedDriver):
    """An index is the order in which the library counts, and the runtime's as well."""

    title = "Cambricon"
    vendor = "cambricon"
    pci_vendor = "0xcabc"

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        return by_index("MLU_VISIBLE_DEVICES", devices)

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """The driver's own shares, whose units are ours."""
        return [Slicing(mechanism="cambricon_smlu", note="needs them switched on for the card: cnmon set -smlu on")]

    def _memory_finding(self) -> HealthFinding:
        # the library has one sign for the whole card
        return failed(HealthCode.UNKNOWN, "the card calls itself unhealthy")

    def _signs(self, raw: Any) -> list[HealthFinding]:
        library = self._load("pycndev")
        state = library.cndevGetCardHealthStateV2(library.cndevGetDeviceHandleByIndex(raw.index))
        found = _DRIVER_STATES.get(int(state.driverState))
        return [found] if found else []


driver = CambriconDriver()
