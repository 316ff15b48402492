"""Hygon DCUs through the ROCm management library that the vendor ships (librocm_smi64.so)."""

from __future__ import annotations

from collections.abc import Sequence

from aicp.accelerators._detector import DetectedDriver, by_index
from aicp.core.accelerator import Accelerator
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing

_COMPUTE_UNITS = 60  # of Z100 and K100, where the driver does not tell


class HygonDriver(DetectedDriver):
    """The runtime is HIP's, which counts devices as the management library does."""

    title = "Hygon"
    vendor = "hygon"
    pci_vendor = "0x1d94"
    fast_link = "xgmi"

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        return by_index("HIP_VISIBLE_DEVICES", devices)

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """Virtual devices of whole compute units."""
        units = int(device.facts.get("compute_units") or _COMPUTE_UNITS)
        return [Slicing(mechanism="hygon_vdcu", compute_unit_percent=100 / units)]


driver = HygonDriver()
