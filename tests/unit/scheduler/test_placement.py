"""Where a replica goes, and the reasons when it goes nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB
from aicp.scheduler.gang import relief
from aicp.scheduler.placement import (
    CPU,
    Commitment,
    Device,
    NodeCapacity,
    Placement,
    Refusal,
    Requirement,
    Snapshot,
    place,
)


def node(name: str, *, memory: int = 16, cores: float = 4, cards: int = 0, card_memory: int = 24, **more: object):
    host = Device(CPU, "cpu-0", 0, "cpu", memory * GIB)
    others = [Device("nvidia", f"gpu-{index}", index, "L4", card_memory * GIB) for index in range(cards)]
    values = {"devices": (host, *others), **more}
    return NodeCapacity(name, name, "default", cores, memory * GIB, **values)


def on_cpu(memory: int = 4, cores: float = 2, **more: object) -> Requirement:
    return Requirement("default", CPU, 0, 0, cores, memory * GIB, **more)


def on_cards(count: int = 1, card_memory: int = 20, memory: int = 4) -> Requirement:
    return Requirement("default", "nvidia", count, card_memory * GIB, 2, memory * GIB)


def held(node_id: str, service: str = "other", *, memory: int = 4, cores: float = 2, cards: tuple[int, ...] = ()):
    shares = [DeviceShare(vendor="nvidia", device_id=f"gpu-{index}", index=index) for index in cards]
    allocation = Allocation(node_id=node_id, devices=shares, cpu_cores=cores, memory_bytes=memory * GIB)
    return Commitment(f"{service}-{node_id}", service, allocation)


def placed(answer: Placement | Refusal) -> Placement:
    assert isinstance(answer, Placement), answer
    return answer


CASES = {
    "memory that is promised is not free": (
        on_cpu(12),
        [node("a")],
        [held("a", memory=8)],
        "no node in pool default has 12 GiB free (largest: 8 GiB on node a)",
    ),
    "memory that others use is not free": (
        on_cpu(12),
        [node("a", foreign_bytes=10 * GIB)],
        [],
        "no node in pool default has 12 GiB free (largest: 6 GiB on node a)",
    ),
    "the node with the most room is named": (
        on_cpu(100),
        [node("a", memory=8), node("b", memory=32), node("c", memory=16)],
        [],
        "no node in pool default has 100 GiB free (largest: 32 GiB on node b)",
    ),
    "a node has too few cores": (
        on_cpu(cores=8),
        [node("a")],
        [],
        "no node in pool default can give 8 cores (node a: it has 4 cores)",
    ),
    "cores are shared, but not without end": (
        on_cpu(1, cores=4),
        [node("a", memory=200)],
        [held("a", memory=1, cores=30)],
        "no node in pool default can give 4 cores (node a: its 4 cores are already shared 8 times)",
    ),
    "no node of the vendor": (
        on_cards(),
        [node("a")],
        [],
        "no node in pool default fits (node a: it has no nvidia accelerator)",
    ),
    "accelerators are taken whole": (
        on_cards(2),
        [node("a", cards=2)],
        [held("a", cards=(0,))],
        "no node in pool default has 2 free accelerators that fit (largest: 1 on node a: 1 of 2 accelerators are free)",
    ),
    "accelerators are too small": (
        on_cards(1, card_memory=40),
        [node("a", cards=2)],
        [],
        "no node in pool default has 40 GiB free (largest: 24 GiB on node a)",
    ),
    "a closed node": (
        on_cpu(),
        [node("a", unschedulable="it is cordoned")],
        [],
        "no node in pool default takes replicas now (a: it is cordoned)",
    ),
    "an empty pool": (on_cpu(), [], [], "no node in pool default has registered yet"),
}


@pytest.mark.parametrize(("need", "nodes", "commitments", "sentence"), CASES.values(), ids=CASES.keys())
def test_a_refusal_says_what_is_missing_and_where_the_most_of_it_is(need, nodes, commitments, sentence):
    answer = place(need, Snapshot(tuple(nodes), tuple(commitments)))
    assert isinstance(answer, Refusal)
    assert answer.sentence == sentence


def test_replicas_of_a_service_spread_over_nodes():
    snapshot = Snapshot((node("a"), node("b")), (held("a", "demo"),))
    assert placed(place(on_cpu(), snapshot, "demo")).node == "b"


def test_uncrowded_cores_come_before_tight_memory():
    snapshot = Snapshot((node("a", memory=16), node("b", memory=64)), (held("a", cores=4, memory=1),))
    assert placed(place(on_cpu(), snapshot, "demo")).node == "b"


def test_the_tightest_node_keeps_the_large_one_free():
    snapshot = Snapshot((node("a", memory=64), node("b", memory=16)))
    assert placed(place(on_cpu(), snapshot, "demo")).node == "b"


def test_an_accelerator_filled_by_others_or_broken_is_not_given():
    machine = node("a", cards=3)
    devices = list(machine.devices)
    devices[1] = replace(devices[1], foreign_bytes=10 * GIB)
    devices[2] = replace(devices[2], healthy=False)
    answer = placed(place(on_cards(), Snapshot((replace(machine, devices=tuple(devices)),))))
    assert [share.device_id for share in answer.allocation.devices] == ["gpu-2"]


def test_a_cpu_replica_gets_its_share_of_the_host_once():
    allocation = placed(place(on_cpu(4, cores=1), Snapshot((node("a"),)))).allocation
    [share] = allocation.devices
    assert (share.vendor, share.compute_percent, share.memory_bytes) == (CPU, 25, 4 * GIB)
    assert (allocation.cpu_cores, allocation.memory_bytes) == (1, 4 * GIB)


def test_relief_names_services_each_of_which_would_make_room():
    snapshot = Snapshot((node("a"),), (held("a", "big", memory=10), held("a", "small", memory=1)))
    assert relief(on_cpu(8), snapshot, "demo") == ["big"]
