"""Whom a replica's node asks for model files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.support.runner import make_node_status

from aicp.core.errors import UnavailableError
from aicp.core.launch import Allocation, ReplicaState
from aicp.core.node import Node, NodeState
from aicp.core.replica import Replica, ReplicaPart
from aicp.reconcile.launches import GROUP_PORTS, choose_group_port, group_seats, model_sources
from aicp.store.replicas import StoredReplica

DIGEST = "ab" * 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(name: str, address: str = "mtls", *, holds: bool = True, state: NodeState = NodeState.READY) -> Node:
    status = make_node_status(name).model_copy(update={"model_digests": [DIGEST] if holds else []})
    where = f"mtls://{name}.node.aicp@10.0.0.1:7" if address == "mtls" else address
    return Node(id=name, name=name, pool="default", state=state, address=where, created_at=NOW, status=status)


def names(nodes: list[Node], replica_id: str = "rep_1") -> list[str]:
    return [address.split("/")[2].split(".")[0] for address in model_sources(nodes, replica_id, DIGEST, "self")]


def test_joined_nodes_that_have_the_files_are_asked() -> None:
    nodes = [
        node("has"),
        node("cordoned", state=NodeState.CORDONED),
        node("self"),
        node("empty", holds=False),
        node("lost", state=NodeState.LOST),
        node("first", ""),
    ]
    assert sorted(names(nodes)) == ["cordoned", "has"]


def test_many_replicas_do_not_all_ask_the_same_node() -> None:
    nodes = [node(f"n{number}") for number in range(8)]
    orders = [names(nodes, f"rep_{number}") for number in range(40)]
    assert {len(order) for order in orders} == {4}
    assert len({order[0] for order in orders}) > 4
    assert names(nodes, "rep_1") == names(list(reversed(nodes)), "rep_1"), "asked again, it is the same"


def test_the_port_where_members_meet_is_free_and_another_one_for_each_replica() -> None:
    ports = [choose_group_port(f"rep_{number}", ()) for number in range(50)]
    assert len(set(ports)) > 40, "what a foreign program holds is not met again"
    assert set(ports) <= set(GROUP_PORTS)
    taken = set(GROUP_PORTS) - {29777}
    assert choose_group_port("rep_1", taken) == 29777
    with pytest.raises(UnavailableError, match="no port left"):
        choose_group_port("rep_1", set(GROUP_PORTS))


def test_members_are_told_where_the_leader_is_by_the_address_of_its_node() -> None:
    seats = group_seats(group("a", "b"), [node("a"), node("b", "mtls://b.node.aicp@[fd00::2]:7")], None)
    assert [(seat.rank, seat.leader, seat.host) for seat in seats if seat] == [
        (0, "10.0.0.1", "10.0.0.1"),
        (1, "10.0.0.1", "fd00::2"),
    ]
    own = group_seats(group("first", "b"), [node("first", ""), node("b")], "10.0.0.9")
    assert {seat.leader for seat in own if seat} == {"10.0.0.9"}
    with pytest.raises(UnavailableError, match="know no address of node first"):
        group_seats(group("first", "b"), [node("first", ""), node("b")], None)


def group(*names: str) -> StoredReplica:
    parts = [
        ReplicaPart(
            node_id=name, node=name, allocation=Allocation(node_id=name, devices=[], cpu_cores=1, memory_bytes=1)
        )
        for name in names
    ]
    replica = Replica(
        id="rep_1", service="s", generation=1, state=ReplicaState.ALLOCATED, members=parts, created_at=NOW
    )
    return StoredReplica(replica, "svc", "default", names[0], None, False, None, None, None, None, 29501)
