"""Moore Threads GPUs through the driver's management library (libmtml.so, by the package mthreads-ml-py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aicp.accelerators._detector import DetectedDriver, by_index
from aicp.core.accelerator import Accelerator
from aicp.core.launch import DeviceShare
from aicp.core.quantity import MIB
from aicp.core.slice import Slicing

_PARTS = 16


class MthreadsDriver(DetectedDriver):
    """An index is the order in which the library counts, and the runtime's as well."""

    title = "Moore Threads"
    vendor = "mthreads"
    pci_vendor = "0x1ed5"
    fast_link = "mtlink"

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        return by_index("MUSA_VISIBLE_DEVICES", devices)

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """Sixteenths of the compute, memory in pieces of 512 MiB."""
        return [
            Slicing(
                mechanism="mthreads_sgpu",
                compute_unit_percent=100 / _PARTS,
                memory_unit_bytes=512 * MIB,
                at_most=_PARTS,
            )
        ]

    def _power_watts(self, raw: Any) -> float | None:
        # the vendor's library answers in milliwatts, which the detection library hands on as they are
        return None if raw.power_used is None else raw.power_used / 1000


driver = MthreadsDriver()
