"""Slices of accelerators and of the machine: where they go, what they never do, and the reasons in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SlicePolicy, SliceProfile, SliceRequest, Slicing
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

MPS = Slicing(mechanism="mps", memory_unit_bytes=MIB, at_most=48)
MIG = Slicing(
    mechanism="mig",
    profiles=[
        SliceProfile(name="1g.6gb", compute_percent=25, memory_bytes=6 * GIB),
        SliceProfile(name="2g.12gb", compute_percent=50, memory_bytes=12 * GIB),
    ],
    isolated=True,
)
CGROUP = Slicing(mechanism="cgroup", policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT])


def card(index: int = 0, *ways: Slicing, memory: int = 24, **more: object) -> Device:
    values = {"slicing": ways or (MPS,), **more}
    return Device("nvidia", f"gpu-{index}", index, "NVIDIA L20", memory * GIB, **values)


def node(name: str, *devices: Device, memory: int = 64, cores: float = 16, **more: object) -> NodeCapacity:
    return NodeCapacity(name, name, "default", cores, memory * GIB, devices, **more)


def host(cores: float = 4, memory: int = 16, **more: object) -> NodeCapacity:
    device = Device(CPU, "cpu-0", 0, "cpu", memory * GIB, slicing=(CGROUP,), cores=cores)
    return node("a", device, memory=memory, cores=cores, **more)


def part(percent: int, memory: float, vendor: str = "nvidia", count: int = 0, **more: object) -> Requirement:
    asked = SliceRequest(compute_percent=percent, memory_bytes=int(memory * GIB), **more)
    return Requirement("default", vendor, count, 0, 1, GIB, slice=asked)


def fill(snapshot: Snapshot, need: Requirement, service: str = "demo") -> tuple[Snapshot, list[Allocation]]:
    """As many replicas as go in."""
    made: list[Allocation] = []
    while isinstance(answer := place(need, snapshot, service), Placement):
        made.append(answer.allocation)
        snapshot = snapshot.plus(Commitment(f"{service}-{len(made)}", service, answer.allocation))
    return snapshot, made


def refused(need: Requirement, snapshot: Snapshot) -> str:
    answer = place(need, snapshot)
    assert isinstance(answer, Refusal), answer
    return answer.sentence


@pytest.mark.parametrize(
    ("need", "count"),
    [(part(30, 1), 3), (part(10, 5), 4), (part(1, 0.25), 48), (part(100, 1), 1)],
    ids=["compute is the limit", "memory less the reserve is the limit", "clients are the limit", "all of the compute"],
)
def test_a_card_takes_slices_until_one_of_its_limits(need: Requirement, count: int):
    _, made = fill(Snapshot((node("a", card()),)), need)
    assert len(made) == count


def test_a_slice_says_how_it_is_held_and_how_it_was_rounded():
    [share] = fill(Snapshot((node("a", card(0, MIG)),)), part(20, 4.1))[1][0].devices
    assert (share.mechanism, share.profile, share.compute_percent, share.memory_bytes) == ("mig", "1g.6gb", 25, 6 * GIB)
    assert share.rounding == "20 % of compute became 25 %, 4.1 GiB of memory became 6 GiB (shape 1g.6gb)"


def test_a_card_is_whole_or_cut_but_never_both():
    whole = Requirement("default", "nvidia", 1, 20 * GIB, 1, GIB)
    one = Snapshot((node("a", card()),))
    cut = one.plus(Commitment("r", "x", fill(one, part(10, 1))[1][0]))
    assert refused(whole, cut).endswith("0 of 1 accelerators are free)")
    given = one.plus(Commitment("r", "x", fill(one, whole)[1][0]))
    assert "largest free part is 0 % and 0 B of NVIDIA L20 0" in refused(part(1, 1), given)


def test_a_card_is_cut_by_one_mechanism_at_a_time():
    ways = (MIG, Slicing(mechanism="mps", policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT]))
    snapshot, [first, *_] = fill(Snapshot((node("a", card(0, *ways)),)), part(50, 12))
    assert first.devices[0].mechanism == "mig"
    half = Snapshot(snapshot.nodes, snapshot.commitments[:1])
    assert "largest free part is 0 %" in refused(part(10, 1, policy=SlicePolicy.WEIGHT), half)
    two = Snapshot((node("a", card(0, *ways), card(1, *ways)),), half.commitments)
    [share] = fill(two, part(10, 1, policy=SlicePolicy.WEIGHT))[1][0].devices
    assert (share.mechanism, share.index) == ("mps", 1)


def test_a_card_that_is_cut_already_is_filled_before_another_is_cut():
    snapshot = Snapshot((node("a", card(0), card(1)),))
    shares = [item.devices[0].index for item in fill(snapshot, part(40, 1))[1]]
    assert shares == [0, 0, 1, 1]


def test_several_slices_of_one_replica_lie_on_distinct_cards():
    snapshot = Snapshot((node("a", card(0), card(1)),))
    made = fill(snapshot, part(40, 1, count=2))[1]
    assert [[share.index for share in item.devices] for item in made] == [[0, 1], [0, 1]]


def test_memory_that_others_hold_is_not_cut():
    snapshot = Snapshot((node("a", card(foreign_bytes=20 * GIB)),))
    assert len(fill(snapshot, part(1, 1))[1]) == 3


def test_a_slice_of_the_machine_is_cores_and_memory_counted_once():
    snapshot, made = fill(Snapshot((host(cores=4, memory=16),)), part(25, 2, CPU))
    assert [(item.cpu_cores, item.memory_bytes) for item in made] == [(1.0, 2 * GIB)] * 4
    assert snapshot.memory_free(snapshot.nodes[0]) == 8 * GIB


def test_slices_of_the_machine_are_hard_and_other_replicas_are_not():
    whole = Requirement("default", CPU, 0, 0, 4, GIB)
    snapshot = Snapshot((host(cores=4),))
    snapshot, others = fill(Snapshot(snapshot.nodes), whole, "best-effort")
    assert len(others) == 8
    held = Snapshot(snapshot.nodes, snapshot.commitments[:3])
    assert len(fill(held, part(30, 1, CPU))[1]) == 3


def test_memory_of_the_machine_limits_its_slices():
    assert len(fill(Snapshot((host(memory=16, foreign_bytes=10 * GIB),)), part(1, 4, CPU))[1]) == 1


HALF = Commitment(
    "r",
    "x",
    Allocation(
        node_id="a",
        devices=[
            DeviceShare(
                vendor="nvidia",
                device_id="gpu-0",
                index=0,
                compute_percent=65,
                memory_bytes=int(20.5 * GIB),
                mechanism="mps",
            )
        ],
        cpu_cores=1,
        memory_bytes=GIB,
    ),
)

REFUSALS = {
    "no part is large enough": (
        part(50, 4),
        (node("a", card()),),
        (HALF,),
        "no node in pool default has room for the slice (node a: largest free part is 35 % and 3.25 GiB of"
        " NVIDIA L20 0; 50 % and 4 GiB were asked)",
    ),
    "too few cards have room": (
        part(50, 4, count=2),
        (node("a", card(0), card(1)),),
        (HALF,),
        "no node in pool default has room for the slice (node a: 1 of 2 accelerators have 50 % and 4 GiB free)",
    ),
    "larger than any card": (
        part(50, 80),
        (node("a", card()),),
        (),
        "no node in pool default fits (node a: the most of NVIDIA L20 0 is 100 % and 23.8 GiB;"
        " 50 % and 80 GiB were asked)",
    ),
    "more slices than cards": (
        part(50, 1, count=3),
        (node("a", card(0), card(1)),),
        (),
        "no node in pool default fits (node a: 3 slices need as many accelerators, and 2 of it can be cut)",
    ),
    "a vendor that cannot be cut": (
        part(50, 1),
        (node("a", replace(card(), slicing=())),),
        (),
        "no node in pool default fits (node a: its nvidia accelerators cannot be cut; ask for whole ones)",
    ),
    "a policy that no way knows": (
        part(50, 1, policy=SlicePolicy.WEIGHT),
        (node("a", card()),),
        (),
        "no node in pool default fits (node a: NVIDIA L20 0 is cut by mps, which does not know the policy weight)",
    ),
    "another vendor": (
        part(50, 1, "ascend"),
        (node("a", card()),),
        (),
        "no node in pool default fits (node a: it has no ascend accelerator)",
    ),
    "host memory": (
        replace(part(10, 1), memory_bytes=100 * GIB),
        (node("a", card()),),
        (),
        "no node in pool default has 100 GiB free (largest: 64 GiB on node a)",
    ),
}


@pytest.mark.parametrize(("need", "nodes", "held", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_slice_that_does_not_fit_gets_a_reason(need, nodes, held, sentence):
    assert refused(need, Snapshot(nodes, held)) == sentence
