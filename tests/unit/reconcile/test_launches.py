"""Whom a replica's node asks for model files."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.runner import make_node_status

from aicp.core.node import Node, NodeState
from aicp.reconcile.launches import model_sources

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
