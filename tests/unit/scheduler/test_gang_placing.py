"""Replicas that span nodes among all that waits: all members or none, within quotas, and others make room for all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated_services import SimulatedServices

from aicp.core.launch import ReplicaState
from aicp.core.pool import PoolQuota
from aicp.core.quantity import GIB
from aicp.scheduler.placement import CPU, Device, NodeCapacity, Requirement, Snapshot
from aicp.scheduler.placing import Waiting, place_waiting
from aicp.scheduler.quotas import Quotas
from aicp.scheduler.service_world import Desired, Place, Preempt, Stop, Wait
from aicp.scheduler.services import decide


def node(number: int, cards: int = 2) -> NodeCapacity:
    devices = tuple(Device("nvidia", f"gpu-{index}", index, "L20", 48 * GIB) for index in range(cards))
    host = Device(CPU, "cpu-0", 0, "cpu", 256 * GIB)
    return NodeCapacity(f"n{number}", f"node-{number}", "default", 64, 256 * GIB, (host, *devices))


def need(nodes: int, cards: int = 1, priority: int = 0) -> Requirement:
    return Requirement("default", "nvidia", cards, 20 * GIB, 1.0, 2 * GIB, nodes=nodes, priority=priority)


def service(
    name: str, nodes: int = 1, *, replicas: int = 1, cards: int = 2, priority: int = 0, **more: bool
) -> Desired:
    return Desired(name, name, 1, 1, replicas, need(nodes, cards, priority), **more)


def world(nodes: int, *services: Desired, **more: object) -> SimulatedServices:
    found = SimulatedServices(nodes=tuple(node(number) for number in range(nodes)), **more)
    found.desired = {item.service_id: item for item in services}
    return found


def places(simulated: SimulatedServices, name: str) -> list[str]:
    [replica] = simulated.live(name)
    held = (replica.allocation, *replica.followers) if replica.allocation else ()
    return sorted(given.node_id for given in held)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2)), max_size=8),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(0, 8)),
)
def test_all_members_are_placed_on_nodes_of_their_own_or_none_and_no_card_twice(
    asked: list[tuple[int, int, int]], nodes: int, limit: int | None
) -> None:
    names = [f"s{number}" for number in range(len(asked))]
    waiting = [
        Waiting(f"r-{name}", name, name, "lab", need(count, cards, priority))
        for name, (count, cards, priority) in zip(names, asked, strict=True)
    ]
    limits = {} if limit is None else {("default", "lab"): PoolQuota(project="lab", accelerators=limit)}
    quotas = Quotas(limits, dict.fromkeys(names, "lab"))
    found = place_waiting(waiting, Snapshot(tuple(node(number) for number in range(nodes))), quotas)
    placed = [action for action in found if isinstance(action, Place)]
    told = {action.replica_id for action in found if isinstance(action, Wait)}
    assert {action.replica_id for action in placed} | told == {item.id for item in waiting}
    given_away: Counter[tuple[str, str]] = Counter()
    for action in placed:
        want = next(item.need for item in waiting if item.id == action.replica_id)
        members = [action.allocation, *(member.allocation for member in action.followers)]
        assert len({member.node_id for member in members}) == len(members) == want.nodes
        for member in members:
            assert len(member.devices) == want.accelerators
            given_away.update((member.node_id, share.device_id) for share in member.devices)
    assert set(given_away.values()) <= {1}
    assert limit is None or sum(given_away.values()) <= limit


def test_one_that_finds_too_few_nodes_waits_and_holds_nothing():
    simulated = world(2, service("wide", 3))
    simulated.settle()
    [replica] = simulated.live("wide")
    assert replica.state == ReplicaState.PENDING
    assert replica.reason == "Waiting: 3 nodes were asked, and pool default has 2; ask for at most as many."
    simulated.nodes = (*simulated.nodes, node(2))
    simulated.settle()
    assert places(simulated, "wide") == ["n0", "n1", "n2"]


def test_others_make_room_for_all_of_its_members():
    simulated = world(2, service("low", replicas=2, preemptible=True))
    simulated.settle()
    simulated.desired["wide"] = service("wide", 2, priority=5)
    seen = [action for _ in range(60) for action in simulated.pass_once() if isinstance(action, Preempt)]
    assert len(seen) == 2
    assert places(simulated, "wide") == ["n0", "n1"]


def test_it_makes_room_as_a_whole():
    simulated = world(3, service("wide", 2, preemptible=True))
    simulated.settle()
    simulated.desired["high"] = service("high", replicas=2, priority=5)
    simulated.settle()
    assert simulated.ready("high") == 2
    assert [replica.state for replica in simulated.live("wide")] == [ReplicaState.PENDING]


def test_an_update_that_does_not_fit_beside_the_old_one_waits_in_words():
    simulated = world(3, service("wide", 2))
    simulated.settle()
    now = simulated.desired["wide"]
    simulated.desired["wide"] = replace(now, generation=2, template=2, fallback=1, promoted=False)
    for _ in range(40):
        simulated.pass_once()
    assert simulated.ready("wide", 1) == 1
    reasons = [replica.reason or "" for replica in simulated.live("wide") if replica.state == ReplicaState.PENDING]
    assert ["2 nodes with room for one member each were asked, and 1 of 3 have it" in reason for reason in reasons] == [
        True
    ]


@pytest.mark.parametrize("bereft", [True, False])
def test_what_is_left_of_one_that_lost_a_node_is_stopped(bereft: bool):
    simulated = world(3, service("wide", 2))
    simulated.settle()
    [replica] = simulated.live("wide")
    actual = simulated.actual()
    lost = replace(replica, state=ReplicaState.LOST, bereft=bereft)
    actions = decide(list(simulated.desired.values()), replace(actual, replicas=(lost,)), simulated.now)
    assert any(isinstance(action, Stop) for action in actions) == bereft
