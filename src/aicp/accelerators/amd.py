"""AMD GPUs through AMD SMI and ROCm SMI (libamd_smi.so, librocm_smi64.so)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aicp.accelerators._detector import DetectedDriver, by_index
from aicp.core.accelerator import Accelerator
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing

_UNIQUE = re.compile(r"GPU-[0-9a-f]{16}")  # what ROCm's runtime calls a device that has a number of its own


class AmdDriver(DetectedDriver):
    """Devices are shown by their own number where they have one, which stays right when another is hidden or lost."""

    title = "AMD"
    vendor = "amd"
    pci_vendor = "0x1002"
    fast_link = "xgmi"

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        """HIP counts what ROCm's runtime shows.

        Only HIP's variable hides: Hygon's runtime listens to ROCm's as well, and would lose its own devices.
        """
        if devices and all(_UNIQUE.fullmatch(device.device_id) for device in devices):
            shown = ",".join(device.device_id for device in devices)
            return {"ROCR_VISIBLE_DEVICES": shown, "HIP_VISIBLE_DEVICES": ",".join(map(str, range(len(devices))))}
        return by_index("HIP_VISIBLE_DEVICES", devices)

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """Whole compute units by the runtime's mask, where the number of units is known."""
        units = int(device.facts.get("compute_units") or 0)
        # from gfx10 on two units are one workgroup processor, and a mask must not part them
        piece = 2 if str(device.facts.get("compute_capability") or "").startswith("gfx1") else 1
        if units < piece:
            return []
        return [
            Slicing(
                mechanism="amd_cu_mask",
                compute_unit_percent=100 * piece / units,
                at_most=units // piece,
                note="memory is not limited; devices of several dies give one compute unit of each at least",
            )
        ]


driver = AmdDriver()
