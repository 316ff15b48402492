"""MetaX GPUs through the driver's management library (libmxsml.so)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from aicp.accelerators._detector import DetectedDriver, by_index
from aicp.accelerators._health import failed
from aicp.core.accelerator import Accelerator, HealthCode, HealthFinding
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing

_SLICING_DRIVER = (2, 32)


class MetaxDriver(DetectedDriver):
    """The runtime answers to CUDA's variable."""

    title = "MetaX"
    vendor = "metax"
    pci_vendor = "0x9999"
    fast_link = "metaxlink"

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        return by_index("CUDA_VISIBLE_DEVICES", devices, hidden="")

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """The driver's own shares, from version 2.32 on."""
        numbers = tuple(int(part) for part in re.findall(r"\d+", device.driver_version or "")[:2])
        return [Slicing(mechanism="metax_sgpu")] if not numbers or numbers >= _SLICING_DRIVER else []

    def _signs(self, raw: Any) -> list[HealthFinding]:
        reason = self._load("pymxsml").mxSmlGetDeviceUnavailableReason(raw.index)
        if reason.unavailableCode == 0:
            return []
        words = reason.unavailableReason
        text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        return [failed(HealthCode.UNKNOWN, f"the device is not available: {text}")]


driver = MetaxDriver()
