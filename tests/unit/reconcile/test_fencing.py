"""What becomes of replicas on a node that is cut off, and on one that comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.node import Node, NodeState
from aicp.core.replica import Replica, check_replica_transition
from aicp.reconcile.nodes import has_fenced_itself
from aicp.reconcile.observation import Change, observed_change
from aicp.store.replicas import CHARGED, StoredReplica

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def stored(state: ReplicaState) -> StoredReplica:
    replica = Replica(id="rep_1", service="s", generation=1, state=state, created_at=NOW)
    return StoredReplica(replica, "svc_1", "default", "node_1", None, True, None, None, None, None)


def look(state: ReplicaState, seen: ReplicaState | None = None, **facts: bool) -> Change | None:
    said = None if seen is None else ObservedReplica(replica_id="rep_1", generation=1, state=seen, reason="why")
    change = observed_change(stored(state), said, **{"answers": seen is not None, "lost": False} | facts, now=NOW)
    if change is not None and change.state != state:
        check_replica_transition(state, change.state)
    return change


def test_its_slices_are_free_only_when_it_has_surely_stopped() -> None:
    lost = look(ReplicaState.READY, lost=True)
    assert lost is not None
    assert lost.state == ReplicaState.LOST
    assert lost.state in CHARGED
    assert look(ReplicaState.LOST, lost=True) is None
    fenced = look(ReplicaState.LOST, lost=True, fenced=True)
    assert fenced is not None
    assert fenced.state == ReplicaState.FENCED
    assert fenced.state not in CHARGED
    assert look(ReplicaState.FENCED, lost=True, fenced=True) is None


@pytest.mark.parametrize("state", [ReplicaState.READY, ReplicaState.LOADING, ReplicaState.LOST, ReplicaState.FENCED])
def test_one_that_its_node_stopped_by_itself_has_ended_without_fault(state: ReplicaState) -> None:
    change = look(state, ReplicaState.FENCED)
    assert change is not None
    assert (change.state, change.values["reason"]) == (ReplicaState.STOPPED, "why")


def test_a_fenced_one_that_runs_still_is_ended_and_not_taken_back() -> None:
    change = look(ReplicaState.FENCED, ReplicaState.READY)
    assert change is not None
    assert change.state == ReplicaState.STOPPED
    running = look(ReplicaState.STOPPED, ReplicaState.READY)
    assert running is None or running.values == {"running": True}


def test_a_lost_one_that_is_back_in_time_serves_again() -> None:
    change = look(ReplicaState.LOST, ReplicaState.READY)
    assert change is not None
    assert change.state == ReplicaState.READY


def test_only_a_joined_node_fences_itself_and_only_after_its_lease() -> None:
    def node(address: str, seconds: float) -> Node:
        seen = NOW - timedelta(seconds=seconds)
        return Node(
            id="node_1", name="m", pool="default", state=NodeState.LOST, address=address, created_at=NOW, seen_at=seen
        )

    lease = timedelta(seconds=300)
    assert not has_fenced_itself(node("", 10_000), lease, NOW)
    assert not has_fenced_itself(node("mtls://node-1.node.aicp@h:1", 310), lease, NOW)
    assert has_fenced_itself(node("mtls://node-1.node.aicp@h:1", 341), lease, NOW)
