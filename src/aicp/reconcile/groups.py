"""What the nodes' reports mean for a replica that spans them: one for all, and all for one. Pure.

Where a member ends, the others compute nothing more and some do not even notice: the whole replica is then ended and
another one made in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aicp.core.launch import ObservedMember, ObservedReplica, ReplicaState
from aicp.core.replica import ENDED_REPLICA_STATES, REPLICA_TRANSITIONS, ReplicaPart
from aicp.reconcile.observation import Change, drained_change, noticeable, troubled_at
from aicp.store.replicas import StoredReplica

_ENDED = frozenset({ReplicaState.STOPPED, ReplicaState.FAILED, ReplicaState.FENCED})
_RUNS = frozenset({ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.READY, ReplicaState.DEGRADED})
_SLOWEST = (ReplicaState.DEGRADED, ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.READY)


@dataclass(frozen=True, slots=True)
class NodeLook:
    """How it stands with nodes in one look: which have reported their replicas, which are lost, which of these have
    surely stopped their engines by themselves, and which there are."""

    reporting: Collection[str]
    lost: Collection[str]
    fenced: Collection[str]
    known: Collection[str]


def is_group(stored: StoredReplica, seen: ObservedReplica | None) -> bool:
    """Whether its members are reported one by one; a cluster that keeps them together itself reports the whole."""
    members = stored.replica.members
    if seen is None:
        return bool(members) and (not stored.running or any(part.state is not None for part in members))
    return bool(members) and any(member.state is not None for member in seen.members)


def group_change(stored: StoredReplica, seen: ObservedReplica | None, nodes: NodeLook, now: datetime) -> Change | None:
    """What to write; None when nothing changed."""
    state = stored.replica.state
    if state == ReplicaState.PENDING:
        return None
    reports = {member.node_id: member for member in seen.members} if seen else {}
    parts = [_part(part, reports.get(part.node_id), nodes, stored.running) for part in stored.replica.members]
    if state in ENDED_REPLICA_STATES:
        runs = any(report.state in _RUNS for report in reports.values())
        return _changed(stored, state, parts if runs else stored.replica.members, running=runs)
    runs = any(part.state in _RUNS for part in parts)
    if state in (ReplicaState.LOST, ReplicaState.FENCED):
        return _bereft(stored, parts, nodes, runs)
    if any(part.state == ReplicaState.LOST for part in parts):
        reason = _lost(parts)
        return _changed(stored, ReplicaState.LOST, parts, running=runs, reason=reason, phase=None)
    if state == ReplicaState.DRAINING:
        if all(part.state in _ENDED or part.state is None for part in parts):
            ended = drained_change(stored)
            return Change(ended.state, {**ended.values, "members": _dumped(parts)})
        return _changed(stored, state, parts, running=runs)
    broken = next(((rank, part) for rank, part in enumerate(parts) if part.state in _ENDED), None)
    if broken is not None:
        fault = _fault(*broken, len(parts))
        return _changed(stored, ReplicaState.DRAINING, parts, running=True, fault=fault, reason=fault, phase=None)
    if any(part.state == ReplicaState.DRAINING for part in parts):
        return None
    return _alive(stored, seen, parts, now)


def _part(part: ReplicaPart, report: ObservedMember | None, nodes: NodeLook, started: bool) -> ReplicaPart:
    """The member as it is known now."""
    if report is not None:
        return part.model_copy(
            update={
                "state": report.state,
                "reason": report.reason,
                "phase": report.phase,
                "pid": report.pid,
                "memory_bytes": noticeable(part.memory_bytes, report.memory_bytes),
                "limits": report.limits,
            }
        )
    if part.node_id not in nodes.known:
        return _gone(part, ReplicaState.STOPPED, "Its node was removed.")
    if part.node_id in nodes.lost:
        fenced = part.node_id in nodes.fenced
        return _gone(part, ReplicaState.FENCED if fenced else ReplicaState.LOST, "Its node does not answer.")
    # one that was never heard of and whose node was silent for a while: where that is back, nothing of it is there
    if part.node_id in nodes.reporting and (part.state == ReplicaState.LOST or (started and part.state is not None)):
        return _gone(part, ReplicaState.STOPPED, part.reason or "Its node came back without it.")
    return part


def _gone(part: ReplicaPart, state: ReplicaState, reason: str) -> ReplicaPart:
    return part.model_copy(update={"state": state, "reason": reason, "phase": None, "pid": None, "memory_bytes": None})


def _bereft(stored: StoredReplica, parts: Sequence[ReplicaPart], nodes: NodeLook, runs: bool) -> Change | None:
    """One of its nodes was lost. It does not come back: what is left of it is stopped, and it ends with that node."""
    state = stored.replica.state
    if any(part.state == ReplicaState.LOST for part in parts):
        return _changed(stored, state, parts, running=runs)
    silent = any(part.state == ReplicaState.FENCED and part.node_id in nodes.lost for part in parts)
    ending = any(part.state == ReplicaState.DRAINING for part in parts)
    if state == ReplicaState.LOST and (runs or ending):
        return _changed(stored, state, parts, running=runs)
    if silent:
        reason = "Its node was cut off and has stopped its engines by itself."
        return _changed(stored, ReplicaState.FENCED, parts, running=False, reason=reason)
    reason = "It lost a node, and the rest of it was stopped."
    return Change(ReplicaState.STOPPED, {"reason": reason, "members": _dumped(parts)})


def _fault(rank: int, part: ReplicaPart, count: int) -> str:
    reason = part.reason or "Its node stopped it."
    return f"Member {rank} of {count} on node {part.node} ended: {reason} All members are started anew."


def _lost(parts: Sequence[ReplicaPart]) -> str:
    lost = next((rank, part.node) for rank, part in enumerate(parts) if part.state == ReplicaState.LOST)
    return f"Node {lost[1]} of member {lost[0]} does not answer."


def _alive(
    stored: StoredReplica, seen: ObservedReplica | None, parts: Sequence[ReplicaPart], now: datetime
) -> Change | None:
    """No member has ended. Served is what the leader answers once all others run."""
    replica = stored.replica
    if seen is None or any(part.state is None for part in parts):
        return _changed(stored, replica.state, parts)
    rank, slowest = min(enumerate(parts), key=lambda item: _order(item[1].state))
    state = slowest.state or ReplicaState.STARTING
    if state != replica.state and state not in REPLICA_TRANSITIONS[replica.state]:
        state = ReplicaState.LOADING
    leader = parts[0]
    words: str | None = slowest.phase
    if slowest.phase and slowest is not leader:
        words = f"member {rank} on node {slowest.node}: {slowest.phase}"
    return _changed(
        stored,
        state,
        parts,
        running=True,
        reason=slowest.reason,
        phase=words,
        progress=seen.progress,
        address=seen.address,
        token=seen.token,
        pid=leader.pid,
        adopted=seen.adopted,
        memory_bytes=leader.memory_bytes,
        limits=leader.limits,
        troubled_at=troubled_at(stored, state, slowest.reason, now),
    )


def _order(state: ReplicaState | None) -> int:
    return _SLOWEST.index(state) if state in _SLOWEST else 0


def _changed(stored: StoredReplica, state: ReplicaState, parts: Sequence[ReplicaPart], **values: Any) -> Change | None:
    replica = stored.replica
    before: Mapping[str, Any] = {
        **replica.model_dump(),
        "running": stored.running,
        "token": stored.token,
        "fault": stored.fault,
        "troubled_at": stored.troubled_at,
    }
    changed = {name: value for name, value in values.items() if before[name] != value}
    if list(parts) != replica.members:
        changed["members"] = _dumped(parts)
    return Change(state, changed) if changed or state != replica.state else None


def _dumped(parts: Sequence[ReplicaPart]) -> list[dict[str, Any]]:
    return [part.model_dump(mode="json") for part in parts]
