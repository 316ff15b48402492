"""Devices as the library gpustack-runtime (Apache-2.0) detects them, for the vendors that it knows well.

Only its detectors are used, which open the vendor's own library by themselves. It is installed from a small lock of its
own without the packages it needs for containers, see requirements/detectors.in.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from aicp.accelerators._health import Verdict, degraded, failed, verdict
from aicp.accelerators._pci import bus
from aicp.core.accelerator import (
    Accelerator,
    AcceleratorMetrics,
    HealthCode,
    HealthFinding,
)
from aicp.core.launch import DeviceShare
from aicp.core.quantity import MIB
from aicp.core.slice import Slicing

log = logging.getLogger(__name__)

Load = Callable[[str], Any]

_AGAIN_SECONDS = 60.0
# The library's distances, smaller is nearer; 0 between two devices means one board.
_LINKS = {0: "board", 5: "link", 10: "pcie", 20: "pcie", 30: "host", 40: "numa", 50: "socket"}


def load(name: str) -> Any:
    """A module below `gpustack_runtime.detector`, or that package itself for "". Raises ImportError without it."""
    # It checks memory for errors only when told to, by a variable that it reads at every use.
    vars(importlib.import_module("gpustack_runtime.envs"))["GPUSTACK_RUNTIME_DETECT_NO_HEALTH_CHECK"] = False
    return importlib.import_module(f"gpustack_runtime.detector.{name}".rstrip("."))


class DetectedDriver(ABC):
    """What the drivers of these vendors share. One thread at a time.

    `load_module` gives a module of the detection library by its name, `on_bus` says whether a PCI vendor number is on
    the bus; tests give their own.
    """

    title: ClassVar[str]
    evidence: ClassVar[str] = "constructed from documentation"
    vendor: ClassVar[str]
    """The driver's file name, which is also the library's name of the vendor."""
    pci_vendor: ClassVar[str]
    fast_link: ClassVar[str] = "link"
    """What people call the vendor's own link between devices, e.g. `hccs`."""

    def __init__(
        self,
        load_module: Load = load,
        on_bus: Callable[[str], bool] = bus.has,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load_module
        self._on_bus = on_bus
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._detector: Any = None
        self._asked_at: float | None = None
        self._seen: dict[str, Accelerator] = {}
        self._raw: list[Any] = []
        self._complaint: str | None = None

    def discover(self) -> list[Accelerator]:
        """The vendor's devices; those that were there before and no longer answer are kept and called failed."""
        with self._lock:
            detector = self._open()
            if detector is None:
                return []
            try:
                self._raw = list(detector.detect_info() or [])
            except Exception as error:
                self._complain(f"the devices cannot be read: {error}")
                return self._silent(error)
            self._measure(detector)
            return self._kept([self._accelerator(raw, device_id) for raw, device_id in self._identified()])

    def measure(self) -> dict[str, AcceleratorMetrics]:
        """Metrics of now."""
        return {device.device_id: device.metrics for device in self.discover()}

    def links(self) -> dict[tuple[str, str], str]:
        """How the devices seen last are wired to each other; empty where the library does not say."""
        with self._lock:
            if self._detector is None or len(self._raw) < 2:
                return {}
            try:
                topology = self._detector.get_topology(self._raw)
            except Exception as error:
                self._complain(f"the links cannot be read: {error}")
                return {}
            rows = topology.devices_distances if topology is not None else []
        ids = [device_id for _, device_id in self._identified()]
        found: dict[tuple[str, str], str] = {}
        for one, row in zip(ids, rows, strict=False):
            for other, distance in zip(ids, row, strict=False):
                kind = _LINKS.get(int(distance))
                if kind is not None and one != other:
                    found[one, other] = self.fast_link if kind == "link" else kind
        return found

    @abstractmethod
    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        """Variables that make a process see exactly `devices`."""

    @abstractmethod
    def slicing(self, device: Accelerator) -> list[Slicing]:
        """Ways this device can be cut, the best first."""

    def _memory_finding(self) -> HealthFinding:
        """What the library's only sign, unhealthy memory, means with this vendor."""
        return degraded(HealthCode.MEMORY_UNCORRECTABLE, "uncorrected memory errors since the driver was loaded")

    def _signs(self, raw: Any) -> list[HealthFinding]:
        """What the vendor's own library says beyond memory. May raise: a library without the question has no answer."""
        return []

    def _power_watts(self, raw: Any) -> float | None:
        return None if raw.power_used is None else float(raw.power_used)

    def _open(self) -> Any:
        """The library's detector, when there is anything for it to find; asked again every minute until there is."""
        if self._detector is not None:
            return self._detector
        if not self._on_bus(self.pci_vendor):
            return None
        now = self._monotonic()
        if self._asked_at is not None and now - self._asked_at < _AGAIN_SECONDS:
            return None
        self._asked_at = now
        try:
            found = _detector_of(self._load(""), self.vendor)
        except ImportError as error:
            self._complain(f"the package gpustack-runtime is not installed ({error}); tools/install.sh installs it")
            return None
        except Exception as error:
            self._complain(f"the detection library cannot be loaded: {error}")
            return None
        if found is None or not _supported(found):
            self._complain("the vendor's driver or its library cannot be opened; install the driver on this machine")
            return None
        self._detector, self._complaint = found, None
        return found

    def _measure(self, detector: Any) -> None:
        for raw in self._raw:
            raw.cores_utilization = raw.memory_used = None  # zero would be a measurement
        try:
            detector.detect_usage(self._raw)
        except Exception as error:
            self._complain(f"the devices cannot be measured: {error}")

    def _identified(self) -> list[tuple[Any, str]]:
        """Each device with its stable id: the vendor's, or its place on the bus where that is missing or not unique."""
        count = Counter(str(raw.uuid or "") for raw in self._raw)
        return [
            (raw, str(raw.uuid) if raw.uuid and count[str(raw.uuid)] == 1 else f"{self.vendor}-{_place(raw)}")
            for raw in self._raw
        ]

    def _accelerator(self, raw: Any, device_id: str) -> Accelerator:
        used = raw.memory_used
        return Accelerator(
            vendor=self.vendor,
            index=int(raw.index),
            device_id=device_id,
            product=str(raw.name or self.title),
            memory_bytes=int(raw.memory or 0) * MIB,
            driver_version=raw.driver_version,
            facts=_facts(raw),
            metrics=AcceleratorMetrics(
                memory_used_bytes=None if used is None else int(used) * MIB,
                utilization_percent=None if raw.cores_utilization is None else float(raw.cores_utilization),
                temperature_celsius=None if raw.temperature is None else float(raw.temperature),
                power_watts=self._power_watts(raw),
            ),
            **self._health(raw),
        )

    def _health(self, raw: Any) -> Verdict:
        try:
            found = self._signs(raw)
        except Exception as error:
            log.debug("%s device %s: no signs of health: %s", self.title, raw.index, error)
            found = []
        if str(getattr(raw.memory_status, "value", raw.memory_status)) == "unhealthy":
            memory = self._memory_finding()
            # where the sign speaks of the whole device, what was found says it better
            if not found or memory.code is not HealthCode.UNKNOWN:
                found = [*found, memory]
        return verdict(found)

    def _kept(self, devices: list[Accelerator]) -> list[Accelerator]:
        """With the devices that have gone, in the order of the indexes."""
        present = {device.device_id for device in devices}
        gone = verdict([failed(HealthCode.DEVICE_LOST, "it has fallen off the bus")])
        lost = [_ill(device, gone) for device_id, device in self._seen.items() if device_id not in present]
        self._seen |= {device.device_id: device for device in devices}
        taken = {device.index for device in devices}
        # an index that another device has taken over names that one
        return sorted([*devices, *(one for one in lost if one.index not in taken)], key=lambda device: device.index)

    def _silent(self, error: Exception) -> list[Accelerator]:
        mute = verdict([failed(HealthCode.DRIVER, f"no answer from the vendor's library: {error}")])
        return sorted((_ill(device, mute) for device in self._seen.values()), key=lambda device: device.index)

    def _complain(self, what: str) -> None:
        """Once for the same complaint: discovery is asked every few seconds."""
        if what != self._complaint:
            log.warning("%s devices are not used: %s", self.title, what)
        self._complaint = what


def by_index(variable: str, devices: Sequence[DeviceShare], hidden: str = "-1") -> dict[str, str]:
    """`variable` with the devices' indexes in rising order, which some runtimes insist on.

    An empty value is no value to some runtimes and shows every device, hence `hidden`: an index that no device has.
    """
    return {variable: ",".join(str(index) for index in sorted(device.index for device in devices)) or hidden}


def _detector_of(module: Any, vendor: str) -> Any:
    kinds = {name.lower(): kind for name, kind in vars(module).items() if name.endswith("Detector")}
    kind = kinds.get(f"{vendor}detector")
    return kind() if kind is not None else None


def _supported(detector: Any) -> bool:
    """Whether the vendor's library opens; what the detector remembers of an earlier try is forgotten."""
    for name in ("is_supported", "detect_pci_devices"):
        forget = getattr(getattr(detector, name, None), "cache_clear", None)
        if forget is not None:
            forget()
    return bool(detector.is_supported())


def _place(raw: Any) -> str:
    return str((raw.appendix or {}).get("bdf") or raw.index)


def _facts(raw: Any) -> dict[str, Any]:
    extra = raw.appendix or {}
    numa = str(extra.get("numa", ""))
    facts = {
        "pci_bus_id": extra.get("bdf"),
        "numa_node": int(numa) if numa.isdigit() else None,
        "architecture": extra.get("arch_family"),
        "compute_units": raw.cores or None,
        "compute_capability": raw.compute_capability,
        "runtime_version": raw.runtime_version_original or raw.runtime_version,
        "power_limit_watts": raw.power or None,
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _ill(device: Accelerator, state: Verdict) -> Accelerator:
    return device.model_copy(update={**state, "metrics": AcceleratorMetrics()})
