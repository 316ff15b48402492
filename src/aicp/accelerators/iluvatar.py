"""Iluvatar GPUs through the driver's management library (libixml.so)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aicp.accelerators._detector import DetectedDriver, by_index
from aicp.accelerators._health import degraded, failed
from aicp.core.accelerator import Accelerator, HealthCode, HealthFinding
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing

# Bits of ixmlDeviceGetHealth, after the names in the library's interface.
_BITS = {
    0x01: failed(HealthCode.INTERNAL, "an error of its system hub"),
    0x02: failed(HealthCode.INTERNAL, "an error of its memory controller"),
    0x10: degraded(HealthCode.MEMORY_UNCORRECTABLE, "an error that memory correction could not mend"),
    0x20: failed(HealthCode.MEMORY_UNCORRECTABLE, "an error of its memory"),
    0x40: failed(HealthCode.LINK, "an error of its PCIe link"),
}


class IluvatarDriver(DetectedDriver):
    """The runtime answers to CUDA's variable."""

    title = "Iluvatar"
    vendor = "iluvatar"
    pci_vendor = "0x1e3e"

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        return by_index("CUDA_VISIBLE_DEVICES", devices, hidden="")

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """The vendor's shares, whose units are our own."""
        return [Slicing(mechanism="iluvatar_vgpu")]

    def _memory_finding(self) -> HealthFinding:
        # also said when the question for its health ends in an error
        return degraded(HealthCode.UNKNOWN, "the device does not call itself well")

    def _signs(self, raw: Any) -> list[HealthFinding]:
        library = self._load("pyixml")
        bits = int(library.ixmlDeviceGetHealth(library.nvmlDeviceGetHandleByUUID(raw.uuid)))
        return [found for bit, found in _BITS.items() if bits & bit]


driver = IluvatarDriver()
