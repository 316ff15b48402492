"""What every enforcer keeps, built-in or installed by others, on a machine with or without its hardware."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aicp.accelerators.base import AcceleratorDriver, Sliceable
from aicp.core.accelerator import Accelerator
from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB
from aicp.core.registry import Registry
from aicp.enforcers.base import Consumption, Enforcer, LiveResize

REGISTRY = Registry[Enforcer]("aicp.enforcers")
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "slices.md"
STRANGER = "rep_that_never_was"
# made by others of this release, or by nobody
ELSEWHERE = {"mps", "mig", "interposer"}


@pytest.fixture(params=REGISTRY.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def enforcer(name: str) -> Enforcer:
    return REGISTRY.get(name)


def sliced(vendor: str, mechanism: str) -> Allocation:
    share = DeviceShare(
        vendor=vendor,
        device_id="device-that-is-not-there",
        index=63,
        compute_percent=25,
        memory_bytes=GIB,
        mechanism=mechanism,
        profile="vir01",
    )
    return Allocation(node_id="node_1", devices=[share], cpu_cores=1, memory_bytes=0)


def test_says_in_words_why_it_is_unavailable_and_says_it_again(enforcer: Enforcer) -> None:
    reason = enforcer.unavailable()
    assert enforcer.unavailable() == reason
    if reason is not None:
        assert " " in reason
        assert not reason.endswith("."), "it is told within a sentence"
        assert "Traceback" not in reason


def test_an_unknown_group_consumes_nothing_and_can_be_released(enforcer: Enforcer) -> None:
    assert enforcer.usage(STRANGER) == Consumption()
    assert enforcer.pids(STRANGER) == []
    assert enforcer.release(STRANGER)
    assert enforcer.release(STRANGER), "again is harmless"


def test_a_resizable_one_says_whether_it_can_here(enforcer: Enforcer) -> None:
    if isinstance(enforcer, LiveResize):
        assert enforcer.can_resize() in (True, False)


def test_a_slice_of_a_device_that_is_not_there_is_not_claimed_to_be_held(name: str, enforcer: Enforcer) -> None:
    if name in {"cgroup", "none"} | ELSEWHERE:
        pytest.skip("it does not ask for the device")
    applied = enforcer.apply(STRANGER, sliced(name.split("_")[0], name))
    assert not applied.enforced
    assert applied.note
    assert not applied.env
    assert not applied.join
    assert enforcer.release(STRANGER)


def test_without_a_slice_of_its_own_it_gives_no_variables(name: str, enforcer: Enforcer) -> None:
    if name == "cgroup":
        pytest.skip("it limits the host's processors and memory as well")
    applied = enforcer.apply(STRANGER, Allocation(node_id="node_1", devices=[], cpu_cores=1, memory_bytes=0))
    assert not applied.enforced
    assert not applied.env
    assert enforcer.release(STRANGER)


def test_every_way_that_a_vendor_offers_has_its_enforcer() -> None:
    accelerators = Registry[AcceleratorDriver]("aicp.accelerators")
    device = Accelerator(
        vendor="any",
        index=0,
        device_id="any",
        product="910B3",
        memory_bytes=64 * GIB,
        facts={"compute_units": 60},
    )
    drivers = [driver for name in accelerators.names() if isinstance(driver := accelerators.get(name), Sliceable)]
    offered = {way.mechanism for driver in drivers for way in driver.slicing(device)}
    assert {"ascend_vnpu", "hygon_vdcu", "amd_cu_mask", "mthreads_sgpu"} <= offered
    assert offered - set(REGISTRY.names()) <= ELSEWHERE


def test_the_guide_tells_of_every_mechanism() -> None:
    rows = {mechanism for line in GUIDE.read_text().splitlines() for mechanism in re.findall(r"^\| `(\w+)` \|", line)}
    assert set(REGISTRY.names()) - {"none"} - ELSEWHERE <= rows
