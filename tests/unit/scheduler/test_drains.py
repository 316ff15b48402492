"""Draining a node: where its replicas go, that each serves until its successor does, and what stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated_services import SimulatedServices

from aicp.core.launch import Allocation, ReplicaState
from aicp.core.quantity import GIB
from aicp.core.service import ServiceState
from aicp.scheduler.drains import Leaving, Move, plan_moves
from aicp.scheduler.placement import CPU, Commitment, Device, NodeCapacity, Requirement, Snapshot
from aicp.scheduler.service_world import Desired

NEED = Requirement("default", CPU, 0, 0, 1.0, 2 * GIB)


def node(number: int, memory_gib: int = 64) -> NodeCapacity:
    host = Device(CPU, "cpu-0", 0, "cpu", memory_gib * GIB)
    return NodeCapacity(f"n{number}", f"node-{number}", "default", 4, memory_gib * GIB, (host,))


def world(replicas: int, *nodes: NodeCapacity) -> SimulatedServices:
    found = SimulatedServices(nodes=nodes)
    found.desired = {"s1": Desired("s1", "demo", generation=1, template=1, replicas=replicas, requirement=NEED)}
    return found


def places(simulated: SimulatedServices) -> list[str]:
    return sorted(item.allocation.node_id for item in simulated.live("s1") if item.allocation)


@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_every_replica_moves_and_the_service_never_has_fewer(replicas: int):
    simulated = world(replicas, node(1))
    simulated.settle()
    simulated.nodes = (node(1), node(2))
    simulated.draining.add("n1")
    simulated.lowest_ready.clear()
    most = 0
    for _ in range(80):
        simulated.pass_once()
        most = max(most, sum(item.state != ReplicaState.DRAINING for item in simulated.live("s1")))
    assert simulated.settle() == []
    assert places(simulated) == ["n2"] * replicas
    assert simulated.lowest_ready["s1"] == replicas
    assert most == replicas + 1


def test_replicas_without_another_place_go_on_and_the_service_stays_ready():
    simulated = world(3, node(1), node(2, memory_gib=2))
    simulated.settle()
    simulated.draining.add("n1")
    simulated.lowest_ready.clear()
    simulated.settle()
    assert places(simulated) == ["n1", "n1", "n2"]
    assert simulated.lowest_ready["s1"] == 3
    [pending] = [item for item in simulated.live("s1") if item.state == ReplicaState.PENDING]
    assert "no node in pool default has 2 GiB free" in str(pending.reason)
    status = simulated.desired["s1"].status
    assert status is not None
    assert status.state == ServiceState.READY


def test_a_drain_that_is_called_off_leaves_what_is_left_and_takes_back_what_waits():
    simulated = world(3, node(1), node(2, memory_gib=2))
    simulated.settle()
    simulated.draining.add("n1")
    simulated.settle()
    simulated.draining.clear()
    assert simulated.settle() == []
    assert len(places(simulated)) == 3
    assert simulated.ready("s1") == 3


@settings(deadline=None, max_examples=40)
@given(
    replicas=st.integers(1, 4),
    second_gib=st.integers(0, 10),
    fail_every=st.sampled_from([0, 2, 3, 5]),
    after=st.integers(0, 6),
)
def test_a_drain_at_any_moment_ends_with_all_that_can_have_moved(
    replicas: int, second_gib: int, fail_every: int, after: int
):
    simulated = world(replicas, node(1), node(2, second_gib))
    simulated.fail_every = fail_every
    for _ in range(after):
        simulated.pass_once()
    simulated.draining.add("n1")
    simulated.settle()
    fitting = min(replicas, second_gib // 2)
    assert places(simulated).count("n2") == fitting
    # what was ready when its node was drained and finds no place is still there
    assert simulated.ready("s1") >= fitting


def leaving(number: int) -> Leaving:
    return Leaving(f"r{number}", "demo", NEED)


def test_a_plan_counts_what_it_gave_away_and_says_why_the_rest_stays():
    held = tuple(
        Commitment(f"r{number}", "demo", Allocation(node_id="n1", devices=[], cpu_cores=1, memory_bytes=2 * GIB))
        for number in range(3)
    )
    snapshot = Snapshot((node(1), node(2, memory_gib=4), replace(node(3), pool="other")), held)
    moves = plan_moves("n1", [leaving(number) for number in range(3)], snapshot)
    assert moves[:2] == [Move("r0", "node-2"), Move("r1", "node-2")]
    assert moves[2].node is None
    assert moves[2].reason == "no node in pool default has 2 GiB free (largest: 0 B on node node-2)."


def test_the_only_node_of_a_pool_keeps_its_replicas_and_says_so():
    [move] = plan_moves("n1", [leaving(0)], Snapshot((node(1),)))
    assert move.node is None
    assert move.reason == "no node in pool default takes replicas now (node-1: it is being drained)."
