"""A slice that changes keeps its devices, their order and its mechanism."""

from __future__ import annotations

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB
from aicp.core.slice import SlicePolicy, SliceRequest, Slicing
from aicp.scheduler.placement import Commitment, Device, NodeCapacity, Placement, Requirement, Snapshot
from aicp.scheduler.resizing import larger, resize

MPS = Slicing(mechanism="mps")
OWN = Slicing(mechanism="interposer", policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT], resizable=True)
CARDS = tuple(Device("nvidia", f"gpu-{index}", index, "L20", 48 * GIB, slicing=(MPS, OWN)) for index in range(2))
NODE = NodeCapacity("node_a", "a", "default", 8.0, 64 * GIB, CARDS)


def share(index: int, percent: int, mechanism: str = "interposer") -> DeviceShare:
    return DeviceShare(
        vendor="nvidia",
        device_id=f"gpu-{index}",
        index=index,
        compute_percent=percent,
        memory_bytes=4 * GIB,
        mechanism=mechanism,
    )


def held(*shares: DeviceShare) -> Allocation:
    return Allocation(node_id="node_a", devices=list(shares), cpu_cores=1.0, memory_bytes=GIB)


def need(percent: int, count: int = 1) -> Requirement:
    part = SliceRequest(compute_percent=percent, memory_bytes=4 * GIB)
    return Requirement("default", "nvidia", count, 4 * GIB, 1.0, GIB, slice=part)


def test_the_mechanism_that_holds_it_goes_on() -> None:
    mine = held(share(0, 30))
    answer = resize("r1", "s", mine, need(40), Snapshot((NODE,), (Commitment("r1", "s", mine),)))
    assert isinstance(answer, Placement)
    assert [(item.mechanism, item.compute_percent) for item in answer.allocation.devices] == [("interposer", 40)]


def test_devices_keep_their_order_whatever_else_lies_on_them() -> None:
    mine = held(share(0, 30), share(1, 30))
    other = Commitment("r2", "t", held(share(1, 20)))
    answer = resize("r1", "s", mine, need(40, 2), Snapshot((NODE,), (Commitment("r1", "s", mine), other)))
    assert isinstance(answer, Placement)
    assert [item.device_id for item in answer.allocation.devices] == ["gpu-0", "gpu-1"]


def test_what_cannot_change_while_it_runs_does_not() -> None:
    mine = held(share(0, 30, "mps"))
    assert resize("r1", "s", mine, need(40), Snapshot((NODE,), (Commitment("r1", "s", mine),))) is None


def test_until_it_is_done_both_sizes_are_charged() -> None:
    small = held(share(0, 30)).model_copy(update={"memory_bytes": 2 * GIB})
    both = larger(small, held(share(0, 60)))
    assert (both.devices[0].compute_percent, both.memory_bytes) == (60, 2 * GIB)
