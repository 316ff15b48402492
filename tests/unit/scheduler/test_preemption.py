"""Who would have to go, told before anything is stopped."""

from __future__ import annotations

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB
from aicp.scheduler.placement import CPU, Commitment, Device, NodeCapacity, Requirement, Snapshot
from aicp.scheduler.preemption import foresee


def node(name: str, cards: int) -> NodeCapacity:
    devices = tuple(Device("nvidia", f"gpu-{index}", index, "L20", 48 * GIB) for index in range(cards))
    return NodeCapacity(name, name, "default", 64, 256 * GIB, (Device(CPU, "cpu-0", 0, "cpu", 256 * GIB), *devices))


def on_card(replica: str, service: str, index: int, where: str = "a") -> Commitment:
    share = DeviceShare(vendor="nvidia", device_id=f"gpu-{index}", index=index)
    return Commitment(replica, service, Allocation(node_id=where, devices=[share], cpu_cores=1, memory_bytes=GIB))


def urgent(priority: int = 5) -> Requirement:
    return Requirement("default", "nvidia", 1, 20 * GIB, 1, GIB, priority=priority)


FULL = Snapshot((node("a", 3),), (on_card("r1", "mid", 0), on_card("r2", "low", 1), on_card("r3", "fixed", 2)))


def test_the_least_important_goes_first_though_what_is_held_carries_no_priority() -> None:
    assert foresee(urgent(), FULL, "new", 1, {"r1": 3, "r2": 1}) == ("r2",)


def test_each_further_replica_needs_a_further_one_and_the_first_without_a_place_ends_it() -> None:
    assert foresee(urgent(), FULL, "new", 2, {"r1": 3, "r2": 1}) == ("r2", "r1")
    assert foresee(urgent(), FULL, "new", 5, {"r1": 3, "r2": 1}) == ("r2", "r1")


def test_nobody_goes_where_there_is_room_or_nobody_is_less_important() -> None:
    assert foresee(urgent(), Snapshot((node("a", 4),), FULL.commitments), "new", 1, {"r1": 3, "r2": 1}) == ()
    assert foresee(urgent(3), FULL, "new", 1, {"r1": 3}) == ()
    assert foresee(urgent(), FULL, "new", 1, {}) == ()
