"""NVIDIA devices through the driver's management library (NVML, by the package nvidia-ml-py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pynvml

from aicp.core.accelerator import Accelerator, AcceleratorHealth, AcceleratorMetrics, AcceleratorProcess
from aicp.core.launch import DeviceShare

T = TypeVar("T")

# Error numbers ("XID") that speak of the device or its links, after NVIDIA's table of XID errors; most others (13, 31,
# 43, 45, ...) are faults of a program and leave the device well.
_FATAL_XIDS = {
    48: "an uncorrectable memory error",
    62: "a halt of its internal controller",
    64: "a failure to record a bad memory row",
    74: "an error of its NVLink",
    79: "it has fallen off the bus",
    95: "an uncontained memory error",
    119: "a timeout of its system processor",
    120: "an error of its system processor",
}
_PASSING_XIDS = {
    63: "a bad memory row was set aside",
    92: "many corrected memory errors",
    94: "a contained memory error",
}


class NvidiaDriver:
    """`library` is the NVML binding; tests give one of their own. One thread at a time."""

    title = "NVIDIA"
    evidence = "constructed from documentation"

    def __init__(self, library: Any = pynvml) -> None:
        self._nvml = library
        self._lock = threading.Lock()
        self._ready = False
        self._events: Any = None
        self._xids: dict[str, list[int]] = {}
        self._seen: dict[int, Accelerator] = {}

    def discover(self) -> list[Accelerator]:
        with self._lock:
            return [device for device in (self._device(index) for index in self._indices()) if device is not None]

    def measure(self) -> dict[str, AcceleratorMetrics]:
        return {device.device_id: device.metrics for device in self.discover()}

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        """By UUID: an index means another device as soon as one is hidden, lost or added."""
        visible = ",".join(device.device_id for device in devices)
        return {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    def _indices(self) -> list[int]:
        try:
            if not self._ready:
                self._nvml.nvmlInit()
                self._ready = True
            count = int(self._nvml.nvmlDeviceGetCount())
        except pynvml.NVMLError:
            # no library, no driver, or a driver that was replaced under us: asked again next time
            self._ready, self._events = False, None
            return []
        self._collect_xids(count)
        return list(range(count))

    def _device(self, index: int) -> Accelerator | None:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = str(nvml.nvmlDeviceGetUUID(handle))
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            return self._lost(index) if error.args[0] == pynvml.NVML_ERROR_GPU_IS_LOST else None
        health, reason = self._health(handle, uuid)
        self._seen[index] = Accelerator(
            vendor="nvidia",
            index=index,
            device_id=uuid,
            product=self._ask(nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU",
            memory_bytes=int(memory.total),
            driver_version=self._ask(nvml.nvmlSystemGetDriverVersion),
            health=health,
            health_reason=reason,
            features=self._features(handle),
            facts=self._facts(handle),
            metrics=self._metrics(handle, int(memory.used)),
        )
        return self._seen[index]

    def _lost(self, index: int) -> Accelerator:
        """A lost device no longer tells its name: what it was when last seen, if it ever was."""
        unknown = Accelerator(
            vendor="nvidia", index=index, device_id=f"nvidia-lost-{index}", product="NVIDIA GPU", memory_bytes=0
        )
        fallen = {
            "health": AcceleratorHealth.FAILED,
            "health_reason": "The device has fallen off the bus; the machine must be restarted.",
            "metrics": AcceleratorMetrics(),
        }
        return self._seen.get(index, unknown).model_copy(update=fallen)

    def _metrics(self, handle: Any, memory_used: int) -> AcceleratorMetrics:
        nvml = self._nvml
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage, handle)
        running = self._ask(nvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
        return AcceleratorMetrics(
            memory_used_bytes=memory_used,
            utilization_percent=None if rates is None else float(rates.gpu),
            temperature_celsius=self._ask(nvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            power_watts=None if milliwatts is None else milliwatts / 1000,
            processes=[
                AcceleratorProcess(
                    pid=process.pid,
                    name=self._ask(nvml.nvmlSystemGetProcessName, process.pid) or "",
                    memory_bytes=process.usedGpuMemory,
                )
                for process in running
            ],
        )

    def _health(self, handle: Any, uuid: str) -> tuple[AcceleratorHealth, str | None]:
        """The worst that any sign says; UNKNOWN is left to devices that give no sign at all."""
        failed = [*self._xid_reasons(uuid, _FATAL_XIDS)]
        degraded = [*self._xid_reasons(uuid, _PASSING_XIDS)]
        rows = self._ask(self._nvml.nvmlDeviceGetRemappedRows, handle)
        if rows is not None:
            _, _, pending, failure = rows
            if failure:
                failed.append("bad memory rows can no longer be set aside")
            elif pending:
                degraded.append("bad memory rows are set aside at the next reset")
        if self._ask(self._nvml.nvmlDeviceGetRetiredPagesPendingStatus, handle) == pynvml.NVML_FEATURE_ENABLED:
            degraded.append("bad memory pages are retired at the next restart")
        uncorrected = self._ask(
            self._nvml.nvmlDeviceGetTotalEccErrors,
            handle,
            pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            pynvml.NVML_VOLATILE_ECC,
        )
        if uncorrected:
            degraded.append(f"{uncorrected} uncorrected memory errors since the driver was loaded")
        if failed:
            return AcceleratorHealth.FAILED, _sentence(failed)
        return (AcceleratorHealth.DEGRADED, _sentence(degraded)) if degraded else (AcceleratorHealth.HEALTHY, None)

    def _features(self, handle: Any) -> list[str]:
        found: list[str] = []
        if self._ask(self._nvml.nvmlDeviceGetMigMode, handle) is not None:
            found.append("mig")
        if self._ask(self._nvml.nvmlDeviceGetEccMode, handle) is not None:
            found.append("ecc")
        return found

    def _facts(self, handle: Any) -> dict[str, Any]:
        nvml = self._nvml
        capability = self._ask(nvml.nvmlDeviceGetCudaComputeCapability, handle)
        cuda = self._ask(nvml.nvmlSystemGetCudaDriverVersion)
        pci = self._ask(nvml.nvmlDeviceGetPciInfo, handle)
        limit = self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        facts = {
            "compute_capability": capability and ".".join(str(part) for part in capability),
            "cuda_version": cuda and f"{cuda // 1000}.{cuda % 1000 // 10}",
            "pci_bus_id": pci and pci.busId,
            "power_limit_watts": limit and limit / 1000,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def _collect_xids(self, count: int) -> None:
        """Takes the errors reported since the last call; the library keeps none from before it was asked."""
        nvml = self._nvml
        if self._events is None:
            self._events = self._ask(nvml.nvmlEventSetCreate)
            for index in range(count):
                handle = self._ask(nvml.nvmlDeviceGetHandleByIndex, index)
                if self._events is not None and handle is not None:
                    self._ask(nvml.nvmlDeviceRegisterEvents, handle, pynvml.nvmlEventTypeXidCriticalError, self._events)
        while self._events is not None:
            event = self._ask(nvml.nvmlEventSetWait_v2, self._events, 0)
            if event is None:
                return
            uuid = self._ask(nvml.nvmlDeviceGetUUID, event.device)
            self._xids.setdefault(str(uuid), []).append(int(event.eventData))

    def _xid_reasons(self, uuid: str, meanings: dict[int, str]) -> list[str]:
        seen = sorted({number for number in self._xids.get(uuid, []) if number in meanings})
        return [f"{meanings[number]} (XID {number})" for number in seen]

    def _ask(self, question: Callable[..., T], *arguments: Any) -> T | None:
        """None for whatever this device, driver or user may not answer."""
        with suppress(pynvml.NVMLError):
            return question(*arguments)
        return None


def _sentence(reasons: list[str]) -> str:
    return f"The driver reports {'; '.join(reasons)}."


driver = NvidiaDriver()
