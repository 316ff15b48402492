"""The machine as a device, read from a file tree as Linux shows it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from aicp.accelerators.cpu import CpuDriver
from aicp.core.slice import SlicePolicy, SliceRequest, choose_slicing

GIB = 1024**3


def write(root: Path, files: dict[str, str]) -> CpuDriver:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return CpuDriver(root)


def test_this_machine() -> None:
    (device,) = CpuDriver().discover()
    assert device.device_id == "cpu-0"
    assert 1 <= (device.cores or 0) <= len(os.sched_getaffinity(0))
    assert 0 < device.memory_bytes <= psutil.virtual_memory().total
    assert 0 < (device.metrics.memory_used_bytes or 0) < device.memory_bytes
    assert CpuDriver().environment([]) == {}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {
                "proc/self/cgroup": "0::/app.slice/aicp.service\n",
                "sys/fs/cgroup/app.slice/aicp.service/cpu.max": "max 100000\n",
                "sys/fs/cgroup/app.slice/cpu.max": "100000 100000\n",
                "sys/fs/cgroup/app.slice/aicp.service/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/app.slice/memory.max": "max\n",
                "sys/fs/cgroup/app.slice/aicp.service/memory.current": f"{GIB // 4}\n",
            },
            id="v2",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n0::/\n",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes": f"{GIB // 4}\n",
            },
            id="v1",
        ),
    ],
)
def test_a_container_is_no_larger_than_its_limits(tmp_path: Path, files: dict[str, str]) -> None:
    (device,) = write(tmp_path, files).discover()
    assert device.cores == 1
    assert device.memory_bytes == GIB
    assert (device.metrics.memory_used_bytes or 0) >= GIB // 4


def test_features_and_name(tmp_path: Path) -> None:
    cpuinfo = "processor\t: 0\nmodel name\t: A Processor\nflags\t\t: fpu avx2 amx_bf16 sse\n"
    (device,) = write(tmp_path, {"proc/cpuinfo": cpuinfo}).discover()
    assert device.product == "A Processor"
    assert device.features == ["amx_bf16", "avx2"]


def test_cores_are_cut_by_control_groups_to_caps_and_guarantees() -> None:
    (device,) = CpuDriver().discover()
    (way,) = CpuDriver().slicing(device)
    assert (way.mechanism, way.policies) == ("cgroup", [SlicePolicy.CAP, SlicePolicy.WEIGHT])
    size = choose_slicing(SliceRequest(compute_percent=1, memory_bytes=1), [way])
    assert size is not None
    assert (size.compute_percent, size.memory_bytes) == (1, 256 * 1024**2)
