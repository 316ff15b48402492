"""Decisions about services: named cases, and the property that the loop always arrives and then rests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated_services import START, SimulatedServices

from aicp.core.launch import Allocation, DeviceShare, ReplicaState
from aicp.core.quantity import GIB
from aicp.core.service import ServiceState
from aicp.scheduler import services
from aicp.scheduler.placement import CPU, Device, NodeCapacity, Requirement
from aicp.scheduler.service_world import Create, Desired, Drain, ReplicaView, RollBack, Start, Stop, Wait
from aicp.scheduler.services import decide

NEED = Requirement("default", CPU, 0, 0, 1.0, 2 * GIB)
NODE = NodeCapacity("n1", "node-1", "default", 4, 64 * GIB, (Device(CPU, "cpu-0", 0, "cpu", 64 * GIB),))


def world(*services: Desired, node: NodeCapacity = NODE, **more: object) -> SimulatedServices:
    found = SimulatedServices(nodes=(node,), **more)
    found.desired = {service.service_id: service for service in services}
    return found


def service(replicas: int = 1, **more: object) -> Desired:
    given = {"generation": 1, "template": 1, "requirement": NEED, **more}
    return Desired("s1", "demo", replicas=replicas, **given)


def update(simulated: SimulatedServices, **more: object) -> None:
    now = simulated.desired["s1"]
    changes = {"generation": now.generation + 1, "template": now.generation + 1, "fallback": now.template, **more}
    simulated.desired["s1"] = replace(now, promoted=False, **changes)


def test_a_new_service_becomes_ready_and_then_nothing_is_decided():
    simulated = world(service(2))
    assert simulated.settle() == []
    assert simulated.ready("s1") == 2
    status = simulated.desired["s1"].status
    assert status is not None
    assert (status.state, status.ready) == (ServiceState.READY, 2)
    assert simulated.desired["s1"].promoted


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_an_update_keeps_serving_and_never_runs_more_than_one_extra(replicas: int):
    simulated = world(service(replicas))
    simulated.settle()
    simulated.lowest_ready.clear()
    update(simulated)
    most = 0
    for _ in range(60):
        simulated.pass_once()
        live = [r for r in simulated.live("s1") if r.state != ReplicaState.DRAINING]
        most = max(most, len(live))
    assert simulated.settle() == []
    assert simulated.ready("s1", template=2) == replicas
    assert simulated.ready("s1", template=1) == 0
    assert simulated.lowest_ready["s1"] >= replicas
    assert most == replicas + 1


def test_an_update_that_does_not_start_is_rolled_back_while_the_old_one_serves():
    simulated = world(service(2))
    simulated.settle()
    simulated.lowest_ready.clear()
    simulated.broken.add(("s1", 2))
    update(simulated)
    assert simulated.settle() == []
    assert simulated.lowest_ready["s1"] == 2
    assert simulated.desired["s1"].template == 1
    assert "3 starts failed: exit 1" in simulated.desired["s1"].note
    status = simulated.desired["s1"].status
    assert status is not None
    assert status.state == ServiceState.READY
    assert "rolled back" in status.reason
    assert status.observed_generation == 2


def test_an_update_that_hangs_is_rolled_back_after_the_start_timeout():
    desired = service(1, generation=2, template=2, fallback=1)
    stuck = view("r2", ReplicaState.LOADING, generation=2, running=True, loading_at=START)
    old = view("r1", ReplicaState.READY, running=True)
    simulated = world(desired)
    simulated.replicas = {"r1": old, "r2": stuck}
    before = decide([desired], simulated.actual(), START + timedelta(seconds=900))
    assert not any(isinstance(action, RollBack) for action in before)
    [rollback] = decide([desired], simulated.actual(), START + timedelta(seconds=901))
    assert rollback == RollBack("s1", 2, 1, "it did not become ready within 900 s")


def test_a_first_revision_that_does_not_start_is_tried_again_with_growing_waits():
    simulated = world(service(1), broken={("s1", 1)})
    created: list[float] = []
    for _ in range(120):
        actions = simulated.pass_once()
        if any(isinstance(action, Create) for action in actions):
            created.append((simulated.now - START).total_seconds())
    gaps = [after - before for before, after in pairwise(created)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 5
    assert gaps[-1] >= 20
    status = simulated.desired["s1"].status
    assert status is not None
    assert status.state == ServiceState.FAILED
    assert "exit 1" in status.reason


def test_scaling_up_and_down_touches_no_other_replica():
    simulated = world(service(2))
    simulated.settle()
    first = {replica.id for replica in simulated.live("s1")}
    simulated.desired["s1"] = replace(simulated.desired["s1"], replicas=3, generation=2)
    simulated.settle()
    assert first < {replica.id for replica in simulated.live("s1")}
    simulated.desired["s1"] = replace(simulated.desired["s1"], replicas=2, generation=3)
    simulated.settle()
    assert {replica.id for replica in simulated.live("s1")} == first


def test_stop_drains_and_start_brings_it_back():
    simulated = world(service(2))
    simulated.settle()
    simulated.desired["s1"] = replace(simulated.desired["s1"], replicas=0)
    simulated.settle()
    assert simulated.live("s1") == []
    status = simulated.desired["s1"].status
    assert status is not None
    assert status.state == ServiceState.STOPPED
    simulated.desired["s1"] = replace(simulated.desired["s1"], replicas=2)
    simulated.settle()
    assert simulated.ready("s1") == 2


def test_a_deleted_service_is_forgotten_when_its_replicas_are_gone():
    simulated = world(service(1))
    simulated.settle()
    simulated.desired["s1"] = replace(simulated.desired["s1"], replicas=0, deleted=True)
    simulated.settle()
    assert simulated.desired == {}
    assert simulated.live("s1") == []


def view(identity: str, state: ReplicaState, *, generation: int = 1, **more: object) -> ReplicaView:
    allocation = Allocation(node_id="n1", devices=[], cpu_cores=1, memory_bytes=2 * GIB)
    values = {"allocation": allocation, "node": "node-1", **more}
    return ReplicaView(identity, "s1", "demo", generation, state, START, **values)


def test_a_lost_replica_is_replaced_at_once_and_stays_charged():
    simulated = world(service(1, promoted=True), node=replace(NODE, memory_bytes=3 * GIB))
    simulated.replicas = {"r1": view("r1", ReplicaState.LOST)}
    simulated.pass_once()
    simulated.pass_once()
    [pending] = [r for r in simulated.replicas.values() if r.id != "r1"]
    assert pending.state == ReplicaState.PENDING
    assert "has 2 GiB free (largest: 1 GiB on node node-1)" in (pending.reason or "")


def test_what_has_ended_is_not_taken_off_a_quota_as_if_it_left():
    card = DeviceShare(vendor="nvidia", device_id="gone", index=0)
    ended = view(
        "r1", ReplicaState.STOPPED, allocation=Allocation(node_id="n1", devices=[card], cpu_cores=1, memory_bytes=1)
    )
    going = replace(ended, id="r2", state=ReplicaState.DRAINING)
    wanted = service(1, promoted=True)
    for view_of, counted in ((ended, 0), (going, 1)):
        waiting = services._waiting(
            wanted, [view_of, view("r3", ReplicaState.PENDING)], [view("r3", ReplicaState.PENDING)]
        )
        assert [len(item.replaced) for item in waiting] == [counted]


def test_a_failure_before_one_that_serves_holds_nothing_up():
    failed = view("r1", ReplicaState.FAILED, fault="it broke", ended_at=START)
    serving = replace(view("r2", ReplicaState.READY, ready_at=START), created_at=START + timedelta(hours=1))
    again = replace(failed, id="r3", created_at=START + timedelta(hours=2))
    assert services.failures_in_a_row([failed, serving]) == []
    assert [one.id for one in services.failures_in_a_row([failed, serving, again])] == ["r3"]


def test_a_lost_replica_that_comes_back_beside_its_replacement_leaves_one():
    simulated = world(service(1, promoted=True))
    simulated.replicas = {
        "r1": view("r1", ReplicaState.READY, running=True),
        "r2": replace(view("r2", ReplicaState.READY, running=True), created_at=START + timedelta(seconds=5)),
    }
    simulated.settle()
    assert [replica.id for replica in simulated.live("s1")] == ["r1"]


def test_a_replica_that_its_node_forgot_is_started_again():
    simulated = world(service(1, promoted=True))
    simulated.replicas = {"r1": view("r1", ReplicaState.STARTING, running=False)}
    assert Start("r1") in decide(list(simulated.desired.values()), simulated.actual(), START)


def test_replicas_of_unknown_services_are_removed():
    simulated = world()
    simulated.replicas = {"r1": view("r1", ReplicaState.READY, running=True)}
    assert decide([], simulated.actual(), START) == [Drain("r1", "the service is gone")]
    simulated.replicas = {"r1": view("r1", ReplicaState.STOPPED, running=True)}
    assert decide([], simulated.actual(), START) == [Stop("r1")]


def test_waiting_says_numbers_and_what_to_stop_and_is_said_once():
    simulated = world(service(1), node=replace(NODE, memory_bytes=3 * GIB))
    simulated.replicas = {
        "other": replace(view("other", ReplicaState.READY, running=True), service_id="s2", service="big")
    }
    other = Desired("s2", "big", 1, 1, 1, NEED, promoted=True)
    simulated.desired["s2"] = other
    said = [action for _ in range(4) for action in simulated.pass_once() if isinstance(action, Wait)]
    assert len(said) == 1
    assert said[0].reason == (
        "Waiting: no node in pool default has 2 GiB free (largest: 1 GiB on node node-1). Try: stop big."
    )
    status = simulated.desired["s1"].status
    assert status is not None
    assert status.state == ServiceState.PENDING


def test_an_update_without_room_for_an_extra_replica_drains_one_of_several():
    simulated = world(service(2), node=replace(NODE, memory_bytes=4 * GIB))
    simulated.settle()
    simulated.lowest_ready.clear()
    update(simulated)
    assert simulated.settle() == []
    assert simulated.ready("s1", template=2) == 2
    assert simulated.lowest_ready["s1"] >= 1


def test_an_update_goes_on_where_more_are_wanted_than_fit():
    simulated = world(service(3), node=replace(NODE, memory_bytes=6 * GIB))
    simulated.settle()
    simulated.lowest_ready.clear()
    update(simulated, replicas=5)
    simulated.settle()
    assert (simulated.ready("s1", template=2), simulated.ready("s1", template=1)) == (3, 0)
    assert simulated.lowest_ready["s1"] >= 2


def test_a_single_replica_without_room_keeps_serving_and_says_why():
    simulated = world(service(1), node=replace(NODE, memory_bytes=3 * GIB))
    simulated.settle()
    update(simulated)
    simulated.settle(30)
    assert simulated.ready("s1", template=1) == 1
    status = simulated.desired["s1"].status
    assert status is not None
    assert status.state == ServiceState.UPDATING
    assert "has 2 GiB free" in status.reason
    assert "revision 1 keeps serving" in status.reason


_STATES = [state for state in ReplicaState if state != ReplicaState.FENCED]


@st.composite
def replica_views(draw: st.DrawFn, number: int) -> ReplicaView:
    state = draw(st.sampled_from(_STATES))
    started = state not in (ReplicaState.PENDING, ReplicaState.STOPPED, ReplicaState.FAILED)
    ended = state in (ReplicaState.STOPPED, ReplicaState.FAILED)
    allocation = Allocation(
        node_id="n1",
        devices=[DeviceShare(vendor=CPU, device_id="cpu-0", index=0)],
        cpu_cores=1,
        memory_bytes=2 * GIB,
    )
    return ReplicaView(
        id=f"r{number}",
        service_id=draw(st.sampled_from(["s1", "s2", "gone"])),
        service="x",
        generation=draw(st.integers(1, 3)),
        state=state,
        created_at=START - timedelta(seconds=draw(st.integers(0, 500))),
        allocation=allocation if state != ReplicaState.PENDING else None,
        node="node-1",
        running=draw(st.booleans()) and state not in (ReplicaState.PENDING, ReplicaState.LOST, ReplicaState.ALLOCATED),
        drained=draw(st.booleans()),
        fault="broke" if state == ReplicaState.DRAINING and draw(st.booleans()) else None,
        loading_at=START - timedelta(seconds=draw(st.integers(0, 1200))) if started else None,
        ready_at=START - timedelta(seconds=100) if state == ReplicaState.READY or draw(st.booleans()) else None,
        ended_at=START - timedelta(seconds=draw(st.integers(0, 500))) if ended else None,
    )


@st.composite
def worlds(draw: st.DrawFn) -> SimulatedServices:
    simulated = SimulatedServices(nodes=(NODE,), fail_every=draw(st.sampled_from([0, 2, 3])))
    for name in draw(st.sets(st.sampled_from(["s1", "s2"]))):
        template = draw(st.integers(1, 3))
        promoted = draw(st.booleans())
        fallback = draw(st.sampled_from([None, 1, 2, 3]))
        deleted = draw(st.booleans())
        simulated.desired[name] = Desired(
            name,
            name,
            3,
            template,
            0 if deleted else draw(st.integers(0, 3)),
            NEED,
            promoted=promoted,
            fallback=None if promoted or fallback == template else fallback,
            deleted=deleted,
        )
    count = draw(st.integers(0, 6))
    simulated.replicas = {f"r{number}": draw(replica_views(number)) for number in range(count)}
    return simulated


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_from_any_state_with_failing_actions_the_loop_arrives_and_then_decides_nothing(simulated: SimulatedServices):
    assert simulated.settle(900) == []
    for name, desired in simulated.desired.items():
        assert not desired.deleted
        live = [replica for replica in simulated.live(name) if replica.state != ReplicaState.LOST]
        assert all(replica.generation == desired.template for replica in live)
        assert all(replica.state == ReplicaState.READY for replica in live)
        assert len(live) == desired.replicas
    left = [r for name in ("gone", "s1", "s2") if name not in simulated.desired for r in simulated.live(name)]
    assert all(replica.state == ReplicaState.LOST for replica in left)
