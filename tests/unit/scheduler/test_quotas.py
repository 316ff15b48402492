"""Quotas of projects: what counts, what is refused, and that no update or drain is held up by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.simulated_services import SimulatedServices

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.pool import Held, PoolQuota
from aicp.core.quantity import GIB
from aicp.scheduler.placement import CPU, Commitment, Device, NodeCapacity, Requirement, Snapshot
from aicp.scheduler.quotas import Quotas, held, over_quota
from aicp.scheduler.service_world import Desired

CARDS = tuple(Device("nvidia", f"gpu-{number}", number, "L20", 48 * GIB) for number in range(4))
NODE = NodeCapacity("n1", "node-1", "default", 16, 256 * GIB, (Device(CPU, "cpu-0", 0, "cpu", 256 * GIB), *CARDS))
NEED = Requirement("default", "nvidia", 1, 20 * GIB, 1.0, 2 * GIB)


def share(device: str, compute: int = 100, memory: int = GIB, vendor: str = "nvidia") -> DeviceShare:
    return DeviceShare(vendor=vendor, device_id=device, index=0, compute_percent=compute, memory_bytes=memory)


def allocation(*shares: DeviceShare, node: str = "n1") -> Allocation:
    return Allocation(node_id=node, devices=list(shares), cpu_cores=1, memory_bytes=GIB)


def test_two_slices_of_one_accelerator_hold_one_accelerator():
    one, two = allocation(share("a", 30)), allocation(share("a", 20), share("b", 5))
    assert held([one, two]) == Held(accelerators=2, compute_percent=55, memory_bytes=3 * GIB)


def test_the_same_device_name_on_another_node_is_another_accelerator():
    assert held([allocation(share("a")), allocation(share("a"), node="n2")]).accelerators == 2


def test_processors_are_compute_and_memory_but_no_accelerators():
    assert held([allocation(share("cpu-0", 25, 4 * GIB, CPU))]) == Held(
        accelerators=0, compute_percent=25, memory_bytes=4 * GIB
    )


@pytest.mark.parametrize(
    ("quota", "now", "then", "words"),
    [
        ({"accelerators": 1}, {"accelerators": 1}, {"accelerators": 2}, "1 accelerator of pool p at once, it holds 1"),
        ({"compute_percent": 150}, {"compute_percent": 90}, {"compute_percent": 151}, "150 % of compute"),
        ({"memory_bytes": 4 * GIB}, {}, {"memory_bytes": 5 * GIB}, "would hold 5 GiB"),
        ({"accelerators": 0}, {}, {"accelerators": 1}, "may hold 0 accelerators"),
        ({"accelerators": 2}, {"accelerators": 1}, {"accelerators": 2}, None),
        ({}, {"accelerators": 100}, {"accelerators": 200}, None),
        # lowered below what is held: only more accelerators are refused, not more compute on those that are held
        ({"accelerators": 1}, {"accelerators": 3}, {"accelerators": 3, "compute_percent": 9}, None),
    ],
)
def test_a_quota_says_what_it_allows(
    quota: dict[str, int], now: dict[str, int], then: dict[str, int], words: str | None
):
    said = over_quota(PoolQuota(project="lab", **quota), "p", Held(**now), Held(**then))
    assert said is None if words is None else (said is not None and words in said and "project lab" in said)


def test_only_the_project_s_own_replicas_in_that_pool_count():
    other = replace(NODE, id="n2", name="node-2", pool="fast")
    snapshot = Snapshot(
        (NODE, other),
        (
            Commitment("r1", "mine", allocation(share("gpu-0"))),
            Commitment("r2", "theirs", allocation(share("gpu-1"))),
            Commitment("r3", "mine", allocation(share("gpu-0"), node="n2")),
        ),
    )
    limits = {("default", "lab"): PoolQuota(project="lab", accelerators=2)}
    quotas = Quotas(limits, {"mine": "lab", "theirs": "web"})
    assert quotas.refusal("default", "lab", snapshot, [allocation(share("gpu-2"))]) is None
    two_more = [allocation(share("gpu-2")), allocation(share("gpu-3"))]
    assert "it holds 1 accelerator and would hold 3 accelerators" in str(
        quotas.refusal("default", "lab", snapshot, two_more)
    )
    assert quotas.refusal("default", "web", snapshot, two_more) is None


def world(replicas: int, accelerators: int) -> SimulatedServices:
    found = SimulatedServices(nodes=(NODE, replace(NODE, id="n2", name="node-2")))
    limits = {("default", "lab"): PoolQuota(project="lab", accelerators=accelerators)}
    found.quotas = Quotas(limits, {"demo": "lab"})
    found.desired = {
        "s1": Desired("s1", "demo", generation=1, template=1, replicas=replicas, requirement=NEED, project="lab")
    }
    return found


def test_a_replica_beyond_the_quota_waits_and_says_why():
    simulated = world(3, 2)
    assert simulated.settle() == []
    assert simulated.ready("s1") == 2
    [waiting] = [item for item in simulated.replicas.values() if item.state == "pending"]
    assert waiting.reason == (
        "Waiting: project lab may hold 2 accelerators of pool default at once,"
        " it holds 2 accelerators and would hold 3 accelerators."
    )
    simulated.quotas = Quotas({}, {"demo": "lab"})
    assert simulated.settle() == []
    assert simulated.ready("s1") == 3


def test_a_full_quota_holds_up_neither_an_update_nor_a_drain():
    simulated = world(2, 2)
    simulated.settle()
    service = simulated.desired["s1"]
    simulated.desired["s1"] = replace(service, generation=2, template=2, promoted=False, fallback=1)
    simulated.lowest_ready.clear()
    assert simulated.settle() == []
    assert simulated.ready("s1", template=2) == 2
    simulated.draining.add("n1")
    assert simulated.settle() == []
    places = [item.allocation.node_id for item in simulated.live("s1") if item.allocation]
    assert places == ["n2", "n2"]
    assert simulated.lowest_ready["s1"] == 2
