"""NVIDIA devices through the driver's management library (NVML, by the package nvidia-ml-py)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import pynvml

from aicp.accelerators._health import Verdict, verdict
from aicp.accelerators._nvidia_health import ErrorEvents, lost, no_driver, signs
from aicp.accelerators._nvidia_slicing import ways
from aicp.accelerators._nvml import ask
from aicp.accelerators._pci import numa_node
from aicp.core.accelerator import Accelerator, AcceleratorMetrics, AcceleratorProcess
from aicp.core.launch import DeviceShare
from aicp.core.slice import Slicing

log = logging.getLogger(__name__)

# The nearest thing that both devices hang from, after nvmlGpuTopologyLevel_t.
_LEVELS = {0: "board", 10: "pcie", 20: "pcie", 30: "host", 40: "numa", 50: "socket"}


class NvidiaDriver:
    """`library` is the NVML binding; tests give one of their own. One thread at a time."""

    title = "NVIDIA"
    evidence = "constructed from documentation"

    def __init__(self, library: Any = pynvml) -> None:
        self._nvml = library
        self._lock = threading.Lock()
        self._ready = False
        self._errors = ErrorEvents(library)
        self._seen: dict[int, Accelerator] = {}
        self._complained = False

    def discover(self) -> list[Accelerator]:
        with self._lock:
            try:
                count = self._count()
            except pynvml.NVMLError as error:
                return self._without_driver(error)
            self._errors.collect(count)
            return [device for device in map(self._device, range(count)) if device is not None]

    def measure(self) -> dict[str, AcceleratorMetrics]:
        return {device.device_id: device.metrics for device in self.discover()}

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        """By UUID: an index means another device as soon as one is hidden, lost or added."""
        visible = ",".join(device.device_id for device in devices)
        return {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    def slicing(self, device: Accelerator) -> list[Slicing]:
        return ways(device)

    def links(self) -> dict[tuple[str, str], str]:
        """`nvlink` where two devices reach each other by it, through a switch or directly; else what they hang from."""
        with self._lock:
            handles = {
                device.device_id: ask(self._nvml.nvmlDeviceGetHandleByIndex, i) for i, device in self._seen.items()
            }
            found = {
                (one, other): self._link(handles[one], handles[other])
                for one in handles
                for other in handles
                if one != other and handles[one] is not None and handles[other] is not None
            }
        return {pair: kind for pair, kind in found.items() if kind is not None}

    def _link(self, one: Any, other: Any) -> str | None:
        nvml = self._nvml
        if ask(nvml.nvmlDeviceGetP2PStatus, one, other, pynvml.NVML_P2P_CAPS_INDEX_NVLINK) == pynvml.NVML_P2P_STATUS_OK:
            return "nvlink"
        level = ask(nvml.nvmlDeviceGetTopologyCommonAncestor, one, other)
        return None if level is None else _LEVELS.get(int(level))

    def _count(self) -> int:
        """How many devices there are. Raises NVMLError without a driver or its library; asked again next time."""
        try:
            if not self._ready:
                self._nvml.nvmlInit()
                self._ready = True
            return int(self._nvml.nvmlDeviceGetCount())
        except pynvml.NVMLError:
            self._ready = False
            self._errors.forget()
            raise

    def _without_driver(self, error: pynvml.NVMLError) -> list[Accelerator]:
        """Devices that were there before are not forgotten; a machine that never had any has none."""
        if self._seen:
            return [_ill(device, verdict([no_driver(error)])) for device in self._seen.values()]
        if error.args[0] == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH and not self._complained:
            self._complained = True
            log.warning("NVIDIA devices are not used: the loaded driver does not fit its library; restart the machine")
        return []

    def _device(self, index: int) -> Accelerator | None:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = str(nvml.nvmlDeviceGetUUID(handle))
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            return self._lost(index) if error.args[0] == pynvml.NVML_ERROR_GPU_IS_LOST else None
        self._seen[index] = Accelerator(
            vendor="nvidia",
            index=index,
            device_id=uuid,
            product=ask(nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU",
            memory_bytes=int(memory.total),
            driver_version=ask(nvml.nvmlSystemGetDriverVersion),
            features=self._features(handle),
            facts=self._facts(handle),
            metrics=self._metrics(handle, int(memory.used)),
            **verdict([*self._errors.findings(uuid), *signs(nvml, handle)]),
        )
        return self._seen[index]

    def _lost(self, index: int) -> Accelerator:
        """A lost device no longer tells its name: what it was when last seen, if it ever was."""
        unknown = Accelerator(
            vendor="nvidia", index=index, device_id=f"nvidia-lost-{index}", product="NVIDIA GPU", memory_bytes=0
        )
        return _ill(self._seen.get(index, unknown), verdict([lost()]))

    def _metrics(self, handle: Any, memory_used: int) -> AcceleratorMetrics:
        nvml = self._nvml
        rates = ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = ask(nvml.nvmlDeviceGetPowerUsage, handle)
        running = ask(nvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
        return AcceleratorMetrics(
            memory_used_bytes=memory_used,
            utilization_percent=None if rates is None else float(rates.gpu),
            temperature_celsius=ask(nvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            power_watts=None if milliwatts is None else milliwatts / 1000,
            processes=[
                AcceleratorProcess(
                    pid=process.pid,
                    name=ask(nvml.nvmlSystemGetProcessName, process.pid) or "",
                    memory_bytes=process.usedGpuMemory,
                )
                for process in running
            ],
        )

    def _features(self, handle: Any) -> list[str]:
        found: list[str] = []
        if ask(self._nvml.nvmlDeviceGetMigMode, handle) is not None:
            found.append("mig")
        if ask(self._nvml.nvmlDeviceGetEccMode, handle) is not None:
            found.append("ecc")
        return found

    def _facts(self, handle: Any) -> dict[str, Any]:
        nvml = self._nvml
        capability = ask(nvml.nvmlDeviceGetCudaComputeCapability, handle)
        cuda = ask(nvml.nvmlSystemGetCudaDriverVersion)
        pci = ask(nvml.nvmlDeviceGetPciInfo, handle)
        limit = ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        mig = ask(nvml.nvmlDeviceGetMigMode, handle)
        facts = {
            "compute_capability": capability and ".".join(str(part) for part in capability),
            "cuda_version": cuda and f"{cuda // 1000}.{cuda % 1000 // 10}",
            "pci_bus_id": pci and pci.busId,
            "numa_node": numa_node(pci.busId) if pci else None,
            "power_limit_watts": limit and limit / 1000,
            "mig_mode": mig and ("enabled" if mig[0] == pynvml.NVML_DEVICE_MIG_ENABLE else "disabled"),
        }
        return {name: value for name, value in facts.items() if value is not None}


def _ill(device: Accelerator, state: Verdict) -> Accelerator:
    return device.model_copy(update={**state, "metrics": AcceleratorMetrics()})


driver = NvidiaDriver()
