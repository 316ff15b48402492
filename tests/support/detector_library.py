"""The detection library as the vendors' drivers see it, answering from a fixture."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FIXTURES = Path(__file__).parents[1] / "fixtures"
_DEVICE = {
    "cores_utilization": 0,
    "memory_used": 0,
    "memory_utilization": 0,
    "temperature": None,
    "power_used": None,
}
_MEASURED = ("cores_utilization", "memory_used", "memory_status", "temperature", "power_used")


class FixtureDetection:
    """Give `load` and `on_bus` to a driver. What `broken` holds raises: `info`, `usage`, `topology`, `health`."""

    def __init__(self, name: str) -> None:
        self.vendor = name.partition("-")[0]
        self.data: dict[str, Any] = json.loads((FIXTURES / name).read_text())
        self.broken: set[str] = set()
        self.supported = True
        self.loads = 0

    def load(self, name: str) -> Any:
        """A module of the library by its name."""
        self.loads += 1
        if name == "":
            return SimpleNamespace(**{f"{self.vendor.upper()}Detector": lambda: self})
        return getattr(self, name)

    def on_bus(self, vendor: str) -> bool:
        return True

    # what the library's detectors have

    def is_supported(self) -> bool:
        return self.supported

    def detect_info(self) -> list[SimpleNamespace]:
        self._check("info")
        return [SimpleNamespace(**deepcopy(_DEVICE | device)) for device in self.data["devices"]]

    def detect_usage(self, devices: list[SimpleNamespace]) -> list[SimpleNamespace]:
        self._check("usage")
        usages = {usage["uuid"]: usage for usage in self.data["usages"]}
        for device in devices:
            for field in _MEASURED if device.uuid in usages else ():
                setattr(device, field, usages[device.uuid][field])
        return devices

    def get_topology(self, devices: list[SimpleNamespace]) -> SimpleNamespace | None:
        self._check("topology")
        return SimpleNamespace(devices_distances=self.data["distances"]) if self.data["distances"] else None

    # what the vendors' own libraries answer

    @property
    def pydcmi(self) -> SimpleNamespace:
        return SimpleNamespace(dcmi_get_device_health=lambda card, device: self._library("health", f"{card},{device}"))

    @property
    def pymxsml(self) -> SimpleNamespace:
        def reason(index: int) -> SimpleNamespace:
            code, words = self._library("unavailable", str(index))
            return SimpleNamespace(unavailableCode=code, unavailableReason=words.encode())

        return SimpleNamespace(mxSmlGetDeviceUnavailableReason=reason)

    @property
    def pyixml(self) -> SimpleNamespace:
        return SimpleNamespace(
            nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
            ixmlDeviceGetHealth=lambda uuid: self._library("health", uuid),
        )

    @property
    def pycndev(self) -> SimpleNamespace:
        return SimpleNamespace(
            cndevGetDeviceHandleByIndex=lambda index: index,
            cndevGetCardHealthStateV2=lambda index: SimpleNamespace(
                driverState=self._library("driver_state", str(index))
            ),
        )

    def _library(self, question: str, key: str) -> Any:
        self._check("health")
        return self.data["library"][question][key]

    def _check(self, question: str) -> None:
        if question in self.broken:
            raise RuntimeError(f"the vendor's library refuses {question}")
