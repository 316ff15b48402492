"""The machine itself as one device: cores and memory that engines may use, by affinity, cgroup and host."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from aicp.core.accelerator import Accelerator, AcceleratorMetrics
from aicp.core.launch import DeviceShare
from aicp.core.slice import SlicePolicy, Slicing

_UNLIMITED_BYTES = 1 << 60  # cgroup v1 says "no limit" with a number near 2^63
_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")


class CpuDriver:
    """Reads /proc, /sys and the cgroup this process is in. `root` stands before every path, for tests."""

    title = "CPU"
    evidence = "this machine"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def discover(self) -> list[Accelerator]:
        return [
            Accelerator(
                vendor="cpu",
                index=0,
                device_id="cpu-0",
                product=self._product(),
                memory_bytes=self._memory_limit(),
                cores=self._cores(),
                driver_version=platform.release(),
                features=self._features(),
                facts={"threads_of_host": os.cpu_count() or 1},
                metrics=self._metrics(),
            )
        ]

    def slicing(self, device: Accelerator) -> list[Slicing]:
        """Control groups cap processor time and memory, or guarantee a share of the time."""
        policies = [SlicePolicy.CAP, SlicePolicy.WEIGHT]
        return [Slicing(mechanism="cgroup", policies=policies, resizable=True)]

    def measure(self) -> dict[str, AcceleratorMetrics]:
        return {"cpu-0": self._metrics()}

    def environment(self, devices: Sequence[DeviceShare]) -> dict[str, str]:
        """Nothing: threads and limits come from the allocation, and a processor cannot be hidden by a variable."""
        return {}

    def _metrics(self) -> AcceleratorMetrics:
        return AcceleratorMetrics(
            memory_used_bytes=self._memory_used(),
            # since the call before; the very first one has nothing to compare with and answers 0
            utilization_percent=psutil.cpu_percent(interval=None),
            temperature_celsius=_temperature(),
        )

    def _product(self) -> str:
        for line in self._text("proc/cpuinfo").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
        return platform.processor() or platform.machine()

    def _features(self) -> list[str]:
        known = {
            "avx2",
            "avx512f",
            "avx512_bf16",
            "avx512_vnni",
            "amx_bf16",
            "amx_int8",
            "asimd",
            "sve",
            "bf16",
            "i8mm",
        }
        for line in self._text("proc/cpuinfo").splitlines():
            if line.startswith(("flags", "Features")):
                return sorted(known.intersection(line.split()))
        return []

    def _cores(self) -> int:
        """Whole cores: what affinity allows, cut to the cgroup's quota."""
        allowed = float(len(os.sched_getaffinity(0)))
        quota = self._numbers("cpu.max", "cpu", "cpu.cfs_quota_us")
        period = self._numbers("cpu.max", "cpu", "cpu.cfs_period_us")
        for limit in self._quotas(quota, period):
            allowed = min(allowed, limit)
        return max(1, int(allowed))

    def _quotas(self, quota: list[str], period: list[str]) -> list[float]:
        found: list[float] = []
        for first, second in zip(quota, period, strict=False):
            pair = first.split() if " " in first else [first, second]
            with suppress(ValueError, ZeroDivisionError):
                limit = float(pair[0]) / float(pair[1])
                found.append(limit if limit > 0 else float("inf"))
        return found

    def _memory_limit(self) -> int:
        limits = [psutil.virtual_memory().total]
        for text in self._numbers("memory.max", "memory", "memory.limit_in_bytes"):
            with suppress(ValueError):
                limits.append(int(text))
        return min(limit for limit in limits if limit < _UNLIMITED_BYTES)

    def _memory_used(self) -> int:
        """What cannot be had now: used by the host, or by the cgroup when that is what limits us."""
        host = psutil.virtual_memory()
        used = host.total - host.available
        limit = self._memory_limit()
        if limit < host.total:
            inside = [int(text) for text in self._numbers("memory.current", "memory", "memory.usage_in_bytes")]
            # whichever leaves less: the group's own limit or the host's free memory
            return max(min(inside, default=0), limit - host.available, 0)
        return used

    def _numbers(self, unified: str, controller: str, legacy: str) -> list[str]:
        """The file's text in our cgroup and every one above it, for v2 (`unified`) and v1 (`legacy`) alike."""
        found: list[str] = []
        for line in self._text("proc/self/cgroup").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                base, name = self._root / "sys/fs/cgroup", unified
            elif controller in controllers.split(","):
                base, name = self._root / "sys/fs/cgroup" / controller, legacy
            else:
                continue
            group = base / path.lstrip("/")
            for directory in (group, *group.parents):
                with suppress(OSError):
                    found.append((directory / name).read_text().strip())
                if directory == base:
                    break
        return found

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text()
        except OSError:
            return ""


def _temperature() -> float | None:
    with suppress(OSError, AttributeError):
        sensors = psutil.sensors_temperatures()
        for name in _SENSORS:
            if sensors.get(name):
                return max(reading.current for reading in sensors[name])
    return None


driver = CpuDriver()
