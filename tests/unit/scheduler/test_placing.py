"""Places for all that waits: by priority, with others stopped where that helps, and never back and forth."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated_services import SimulatedServices

from aicp.core.launch import ReplicaState
from aicp.core.pool import PoolOrder, PoolQuota
from aicp.core.quantity import GIB
from aicp.scheduler.placement import CPU, Device, NodeCapacity, PoolPolicy, Requirement, Snapshot
from aicp.scheduler.placing import Waiting, place_waiting
from aicp.scheduler.quotas import Quotas
from aicp.scheduler.service_world import Desired, Drain, Place, Preempt, Wait


def node(number: int, cards: int = 2) -> NodeCapacity:
    devices = tuple(Device("nvidia", f"gpu-{index}", index, "L20", 48 * GIB) for index in range(cards))
    host = Device(CPU, "cpu-0", 0, "cpu", 256 * GIB)
    return NodeCapacity(f"n{number}", f"node-{number}", "default", 64, 256 * GIB, (host, *devices))


def service(name: str, priority: int, replicas: int, cards: int = 1, *, preemptible: bool = False) -> Desired:
    need = Requirement("default", "nvidia", cards, 20 * GIB, 1.0, 2 * GIB, priority=priority)
    return Desired(name, name, 1, 1, replicas, need, preemptible=preemptible)


def world(*services: Desired, nodes: int = 1, **more: object) -> SimulatedServices:
    found = SimulatedServices(nodes=tuple(node(number) for number in range(nodes)), **more)
    found.desired = {item.service_id: item for item in services}
    return found


def preempted(world: SimulatedServices, passes: int = 60) -> list[str]:
    """Services whose replicas were stopped for others, in order."""
    found: list[str] = []
    for _ in range(passes):
        found += [action.service_id for action in world.pass_once() if isinstance(action, Preempt)]
    return found


def test_of_two_that_wait_the_more_important_is_placed():
    simulated = world(service("low", 0, 2), service("high", 5, 2))
    simulated.settle()
    assert (simulated.ready("high"), simulated.ready("low")) == (2, 0)


def test_a_less_important_one_makes_room_and_comes_back():
    simulated = world(service("low", 0, 2, preemptible=True))
    simulated.settle()
    simulated.desired["high"] = service("high", 5, 1)
    assert preempted(simulated) == ["low"]
    assert (simulated.ready("high"), simulated.ready("low")) == (1, 1)
    simulated.desired["high"] = replace(simulated.desired["high"], replicas=0)
    simulated.settle()
    assert simulated.ready("low") == 2


@pytest.mark.parametrize(
    ("priority", "preemptible", "cards"),
    [(5, False, 1), (0, True, 1), (-1, True, 1), (5, True, 3)],
    ids=["not allowed", "equal", "less important", "it would not help"],
)
def test_nothing_is_stopped_where_it_must_not_be_or_does_not_help(priority: int, preemptible: bool, cards: int):
    simulated = world(service("low", 0, 2, preemptible=preemptible))
    simulated.settle()
    simulated.desired["high"] = service("high", priority, 1, cards)
    assert preempted(simulated) == []
    assert (simulated.ready("high"), simulated.ready("low")) == (0, 2)


def test_as_few_as_possible_of_the_least_important_go():
    low = service("low", 1, 2, preemptible=True)
    simulated = world(service("lowest", 0, 1, cards=2, preemptible=True), nodes=2)
    simulated.settle()
    simulated.desired["low"] = low
    simulated.settle()
    simulated.desired["high"] = service("high", 5, 1, cards=2)
    assert preempted(simulated) == ["lowest"]
    assert simulated.ready("high") == 1


def test_what_leaves_already_is_waited_for_instead():
    simulated = world(service("going", 0, 1), service("low", 0, 1, preemptible=True))
    simulated.settle()
    simulated.desired["going"] = replace(simulated.desired["going"], replicas=0)
    simulated.desired["high"] = service("high", 5, 1)
    assert preempted(simulated) == []
    assert (simulated.ready("high"), simulated.ready("low")) == (1, 1)


def test_a_place_that_is_being_made_is_taken_by_nobody_else():
    simulated = world(service("low", 0, 2, preemptible=True))
    simulated.settle()
    simulated.desired["high"] = service("high", 5, 1, cards=2)
    assert preempted(simulated) == ["low", "low"]
    assert (simulated.ready("high"), simulated.ready("low")) == (1, 0)
    assert all(replica.state == ReplicaState.PENDING for replica in simulated.live("low"))


def test_a_service_that_does_not_start_stops_others_once():
    simulated = world(service("low", 0, 2, preemptible=True), broken={("high", 1)})
    simulated.settle()
    simulated.desired["high"] = service("high", 5, 1)
    assert preempted(simulated, 900) == ["low"]


def test_an_update_stops_nobody_for_its_one_replica_more():
    simulated = world(service("high", 5, 1), service("low", 0, 1, preemptible=True))
    simulated.settle()
    now = simulated.desired["high"]
    simulated.desired["high"] = replace(now, generation=2, template=2, fallback=1, promoted=False)
    assert preempted(simulated) == []


def test_a_quota_is_not_passed_by_stopping_others():
    low = replace(service("low", 0, 2, preemptible=True), project="other")
    quotas = Quotas({("default", "lab"): PoolQuota(project="lab", accelerators=0)}, {"high": "lab", "low": "other"})
    simulated = world(low, quotas=quotas)
    simulated.settle()
    simulated.desired["high"] = replace(service("high", 5, 1), project="lab")
    assert preempted(simulated) == []
    [waits] = simulated.live("high")
    assert "may hold 0 accelerators" in (waits.reason or "")


def test_both_are_told_in_words_and_nothing_of_another_project():
    low = replace(service("low", 0, 2, preemptible=True), project="other")
    simulated = world(low)
    simulated.settle()
    simulated.desired["high"] = replace(service("high", 5, 1), project="lab")
    said = [action for _ in range(5) for action in simulated.pass_once() if isinstance(action, Preempt)]
    assert "a service of another project, whose priority 5 is higher than 0" in said[0].reason
    assert "a replica of another project of the lower priority 0 makes room" in said[0].winner_reason


@st.composite
def worlds(draw: st.DrawFn) -> SimulatedServices:
    services = [
        service(
            f"s{number}",
            draw(st.integers(0, 2)),
            draw(st.integers(0, 3)),
            draw(st.integers(1, 2)),
            preemptible=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    return world(*services, nodes=draw(st.integers(1, 2)), fail_every=draw(st.sampled_from([0, 3])))


@settings(max_examples=80, deadline=None)
@given(worlds(), st.data())
def test_the_loop_arrives_and_rests_and_never_gives_a_card_twice(simulated: SimulatedServices, data: st.DataObject):
    for _ in range(2):
        assert simulated.settle(900) == []
        held = [
            (commitment.allocation.node_id, share.device_id)
            for commitment in simulated.actual().snapshot.commitments
            for share in commitment.allocation.devices
        ]
        assert len(held) == len(set(held))
        name = data.draw(st.sampled_from(sorted(simulated.desired)))
        simulated.desired[name] = replace(simulated.desired[name], replicas=data.draw(st.integers(0, 4)))


def test_a_pool_that_packs_fills_a_node_before_the_next():
    snapshot = Snapshot(tuple(node(number) for number in range(2)))
    need = Requirement("default", "nvidia", 1, 20 * GIB, 1.0, 2 * GIB)
    waiting = [Waiting(f"r{number}", "s1", "s1", "", need) for number in range(2)]

    def nodes(order: PoolOrder) -> int:
        policed = replace(snapshot, policies={"default": PoolPolicy(order)})
        return len({action.node for action in place_waiting(waiting, policed, Quotas()) if isinstance(action, Place)})

    assert (nodes(PoolOrder.SPREAD), nodes(PoolOrder.PACK)) == (2, 1)


@pytest.mark.parametrize("quota", [None, PoolQuota(project="lab", accelerators=5000)])
def test_ten_thousand_that_wait_are_dealt_with_in_one_pass(quota: PoolQuota | None):
    snapshot = Snapshot(tuple(node(number, cards=8) for number in range(1000)))
    need = Requirement("default", "nvidia", 1, 20 * GIB, 0.5, 1 * GIB)
    waiting = [Waiting(f"r{number}", f"s{number % 50}", f"s{number % 50}", "lab", need) for number in range(10_000)]
    quotas = Quotas({("default", "lab"): quota}, {}) if quota else Quotas()
    began = time.process_time()
    actions = place_waiting(waiting, snapshot, quotas)
    spent = time.process_time() - began
    placed = sum(isinstance(action, Place) for action in actions)
    assert placed == (5000 if quota else 8000)
    assert sum(isinstance(action, Wait) for action in actions) == 10_000 - placed
    assert not any(isinstance(action, Drain) for action in actions)
    assert spent < 30
