"""Ascend NPUs through DCMI, the driver's management library (libdcmi.so)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from aicp.accelerators._detector import DetectedDriver, by_index
from aicp.accelerators._health import degraded, failed
from aicp.core.accelerator import Accelerator, HealthCode, HealthFinding
from aicp.core.launch import DeviceShare
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SliceProfile, Slicing

# dcmi_get_device_health, after the DCMI API reference; other numbers mean that the device does not answer.
_ALARMS = {
    1: degraded(HealthCode.UNKNOWN, "a minor alarm of the device"),
    2: degraded(HealthCode.INTERNAL, "a major alarm of the device"),
    3: failed(HealthCode.INTERNAL, "a critical alarm of the device"),
}
_SHARE_DRIVER = (25, 5)  # the first driver whose devices can be shared softly

# Virtual devices by the chip's name: AI cores of the chip, its least memory, and (template, cores, MiB), after the
# vendor's vNPU documentation as HAMi's device configuration (Apache-2.0) lists it.
_LARGE = [("vir05_1c_16g", 5, 16384), ("vir10_3c_32g", 10, 32768)]
_TEMPLATES: dict[str, tuple[int, int, list[tuple[str, int, int]]]] = {
    "910A": (30, 0, [("vir02", 2, 2184), ("vir04", 4, 4369), ("vir08", 8, 8738), ("vir16", 16, 17476)]),
    "910B2": (24, 0, [("vir03_1c_8g", 3, 8192), ("vir06_1c_16g", 6, 16384), ("vir12_3c_32g", 12, 32768)]),
    "910B3": (20, 0, _LARGE),
    "910B4": (20, 0, [("vir05_1c_8g", 5, 8192), ("vir10_3c_16g", 10, 16384)]),
    "910B4-1": (20, 0, _LARGE),
    "910": (20, 60 * GIB, _LARGE),  # how each die of a 910C calls itself; an old 910A has half that memory
    "310P3": (8, 0, [("vir01", 1, 3072), ("vir02", 2, 6144), ("vir04", 4, 12288)]),
}
_AT_MOST = {"310P3": 7}
_SOFT = {"910B3", "910"}


class AscendDriver(DetectedDriver):
    """An index is the driver's logic id, which is what the runtime counts by."""

    title = "Ascend"
    vendor = "ascend"
    pci_vendor = "0x19e5"
    fast_link = "hccs"

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        return by_index("ASCEND_RT_VISIBLE_DEVICES", devices)

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """Virtual devices of fixed shapes, held by the hardware, then the soft share of newer drivers."""
        chip = _chip(device.product)
        cores, least_memory, shapes = _TEMPLATES.get(chip, (0, 0, []))
        if device.memory_bytes < least_memory:
            return []
        ways: list[Slicing] = []
        if _can_share(chip, device.driver_version):
            ways.append(
                Slicing(mechanism="ascend_share", note="needs device sharing switched on: npu-smi set -t device-share")
            )
        if shapes:
            profiles = [
                SliceProfile(name=name, compute_percent=used * 100 // cores, memory_bytes=size * MIB)
                for name, used, size in shapes
            ]
            hard = Slicing(mechanism="ascend_vnpu", profiles=profiles, at_most=_AT_MOST.get(chip), isolated=True)
            ways.insert(0, hard)
        return ways

    def _memory_finding(self) -> HealthFinding:
        # the library counts single and double bit errors together
        return degraded(HealthCode.MEMORY_WEAR, "memory errors, corrected or not")

    def _signs(self, raw: Any) -> list[HealthFinding]:
        place = raw.appendix or {}
        if "card_id" not in place or "device_id" not in place:
            return []  # the second version of the interface has no such question
        state = self._load("pydcmi").dcmi_get_device_health(place["card_id"], place["device_id"])
        if state == 0:
            return []
        return [_ALARMS.get(state) or failed(HealthCode.DEVICE_LOST, "the device is not there or not started")]


def _chip(product: str) -> str:
    return product.strip().removeprefix("Ascend").strip().removesuffix("_")


def _can_share(chip: str, driver_version: str | None) -> bool:
    numbers = tuple(int(part) for part in re.findall(r"\d+", driver_version or "")[:2])
    return chip in _SOFT and (not numbers or numbers >= _SHARE_DRIVER)


driver = AscendDriver()
