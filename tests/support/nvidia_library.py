"""An NVML binding that answers from a fixture; what the fixture does not say, the device does not support."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

FIXTURES = Path(__file__).parents[1] / "fixtures"

_FIELDS = {
    "nvmlDeviceGetUUID": "uuid",
    "nvmlDeviceGetName": "name",
    "nvmlDeviceGetTemperature": "temperature",
    "nvmlDeviceGetPowerUsage": "power_milliwatts",
    "nvmlDeviceGetEnforcedPowerLimit": "power_limit_milliwatts",
    "nvmlDeviceGetCudaComputeCapability": "compute_capability",
    "nvmlDeviceGetMigMode": "mig_mode",
    "nvmlDeviceGetEccMode": "ecc_mode",
    "nvmlDeviceGetTotalEccErrors": "uncorrected_errors",
    "nvmlDeviceGetRemappedRows": "remapped_rows",
    "nvmlDeviceGetRetiredPagesPendingStatus": "retired_pages_pending",
    "nvmlDeviceGetCurrentClocksEventReasons": "clocks_event_reasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons": "clocks_throttle_reasons",
}


class FixtureLibrary:
    """Has the functions of `pynvml` that the driver calls, with their real names, errors and shapes."""

    def __init__(self, name: str) -> None:
        self.data: dict[str, Any] = json.loads((FIXTURES / name).read_text())
        self._xids = [(device, number) for device in self.data["devices"] for number in device.get("xids", [])]

    def __getattr__(self, name: str) -> Any:
        assert hasattr(pynvml, name), f"{name} is no function of the library"
        if name not in _FIELDS:
            raise AttributeError(name)
        return lambda device, *_: self._field(device, _FIELDS[name])

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self.data["devices"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        device = self.data["devices"][index]
        if device.get("lost"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return device

    def nvmlDeviceGetMemoryInfo(self, device: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(**device["memory"])

    def nvmlDeviceGetUtilizationRates(self, device: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(gpu=self._field(device, "utilization"), memory=0)

    def nvmlDeviceGetPciInfo(self, device: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(busId=self._field(device, "pci_bus_id"))

    def nvmlDeviceGetComputeRunningProcesses(self, device: dict[str, Any]) -> list[SimpleNamespace]:
        running = self._field(device, "running")
        return [SimpleNamespace(pid=process["pid"], usedGpuMemory=process["memory"]) for process in running]

    def nvmlSystemGetProcessName(self, pid: int) -> str:
        return self._field(self.data["processes"], str(pid))

    def nvmlDeviceGetP2PStatus(self, one: dict[str, Any], other: dict[str, Any], kind: int) -> int:
        assert kind == pynvml.NVML_P2P_CAPS_INDEX_NVLINK
        linked = other["uuid"] in self._field(one, "nvlinks")
        return pynvml.NVML_P2P_STATUS_OK if linked else pynvml.NVML_P2P_STATUS_NOT_SUPPORTED

    def nvmlDeviceGetTopologyCommonAncestor(self, one: dict[str, Any], other: dict[str, Any]) -> int:
        return self._field(one, "ancestors")[other["uuid"]]

    def nvmlSystemGetDriverVersion(self) -> str:
        return self.data["driver_version"]

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return self.data["cuda_version"]

    def nvmlEventSetCreate(self) -> object:
        return object()

    def nvmlDeviceRegisterEvents(self, device: dict[str, Any], kinds: int, events: object) -> None: ...

    def nvmlEventSetWait_v2(self, events: object, timeout_ms: int) -> SimpleNamespace:
        if not self._xids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        device, number = self._xids.pop(0)
        return SimpleNamespace(device=device, eventData=number)

    def _field(self, values: dict[str, Any], name: str) -> Any:
        if name not in values:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return values[name]
