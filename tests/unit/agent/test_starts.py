"""Which devices an engine's environment shows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from aicp.accelerators.base import AcceleratorDriver
from aicp.agent.starts import build_environment
from aicp.core.launch import Allocation, DeviceShare, LaunchSpec
from aicp.core.registry import Registry

SPEC = LaunchSpec(engine="echo", engine_version="1", environment=False, command=["x"])
VALUES = {"home": "/h", "python": "/p/bin/python", "threads": "1", "token": "t"}


def environment(*devices: DeviceShare) -> dict[str, str]:
    site = SimpleNamespace(
        engine_user=None, inherited=None, accelerators=Registry[AcceleratorDriver]("aicp.accelerators")
    )
    allocation = Allocation(node_id="n", devices=list(devices), cpu_cores=1, memory_bytes=0)
    return build_environment(site, "r", SPEC, allocation, VALUES, Path("/run"))  # type: ignore[arg-type]


@pytest.mark.parametrize("vendor", ["iluvatar", "metax", "nvidia"])
def test_of_vendors_that_share_a_variable_the_one_with_devices_is_heard(vendor: str) -> None:
    env = environment(DeviceShare(vendor=vendor, device_id="1", index=1))
    assert env["CUDA_VISIBLE_DEVICES"] == "1"


def test_without_devices_every_vendor_is_hidden() -> None:
    env = environment(DeviceShare(vendor="cpu", device_id="cpu-0", index=0))
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    hidden = ("ASCEND_RT_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "MLU_VISIBLE_DEVICES", "MUSA_VISIBLE_DEVICES")
    assert {env[name] for name in hidden} == {"-1"}


def test_hygon_and_amd_share_a_variable_too() -> None:
    env = environment(DeviceShare(vendor="hygon", device_id="GPU-1", index=2))
    assert env["HIP_VISIBLE_DEVICES"] == "2"
    assert "ROCR_VISIBLE_DEVICES" not in env, "an empty one would hide Hygon's devices from its runtime"
