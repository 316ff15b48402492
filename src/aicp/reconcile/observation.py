"""What a runner's report means for the row of a replica. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.replica import ENDED_REPLICA_STATES, REPLICA_TRANSITIONS
from aicp.store.replicas import StoredReplica

_GONE = frozenset({ReplicaState.STOPPED, ReplicaState.FAILED, ReplicaState.FENCED})
_MEMORY_STEP = 0.02
"""Memory is written when it moved by this share; every byte would be a write a second."""


@dataclass(frozen=True, slots=True)
class Change:
    """The state a row should have, and its other columns."""

    state: ReplicaState
    values: dict[str, Any] = field(default_factory=dict[str, Any])


def observed_change(
    stored: StoredReplica,
    seen: ObservedReplica | None,
    *,
    answers: bool,
    lost: bool,
    removed: bool = False,
    fenced: bool = False,
    now: datetime,
) -> Change | None:
    """What to write; None when nothing changed.

    `seen` is the runner's report, `answers` whether the replica's node answered this time, `lost` whether the node
    has been silent for too long, `removed` whether an operator said that it will not come back, `fenced` whether it has
    been cut off for so long that it has surely stopped its engines by itself.
    """
    state = stored.replica.state
    if state == ReplicaState.PENDING:
        return None
    if state in ENDED_REPLICA_STATES:
        running = seen is not None and seen.state not in _GONE and seen.state != ReplicaState.DRAINING
        return Change(state, {"running": running}) if running != stored.running else None
    if seen is None:
        return _unseen(stored, answers=answers, lost=lost, removed=removed, fenced=fenced)
    if seen.state in _GONE:
        return _ended(stored, seen)
    if state == ReplicaState.FENCED:
        # its place was given away: it is ended, not taken back
        return Change(ReplicaState.STOPPED, {"reason": "Its node came back after others took its place."})
    if state == ReplicaState.DRAINING:
        # what its node is ending already needs no second stop
        running = seen.state != ReplicaState.DRAINING
        return Change(state, {"running": running}) if running != stored.running else None
    if seen.state == ReplicaState.DRAINING:
        return None
    return _alive(stored, seen, now)


def _unseen(stored: StoredReplica, *, answers: bool, lost: bool, removed: bool, fenced: bool) -> Change | None:
    state = stored.replica.state
    if removed and state in (ReplicaState.LOST, ReplicaState.FENCED):
        return Change(ReplicaState.STOPPED, {"reason": "Its node was removed."})
    if not answers and fenced and state == ReplicaState.LOST:
        return Change(ReplicaState.FENCED, {"reason": "Its node was cut off and has stopped its engines by itself."})
    if not answers:
        silent = (lost or removed) and state not in (ReplicaState.LOST, ReplicaState.FENCED)
        return Change(ReplicaState.LOST, {"reason": "Its node does not answer."}) if silent else None
    if state == ReplicaState.DRAINING:
        return drained_change(stored)
    if state in (ReplicaState.LOST, ReplicaState.FENCED):
        return Change(ReplicaState.STOPPED, {"reason": "Its node came back without it."})
    if not stored.running:
        return None
    values = {"running": False, "address": None, "token": None, "pid": None, "phase": "starting again"}
    return Change(ReplicaState.STARTING, {**values, "reason": "Its node was started anew."})


def _ended(stored: StoredReplica, seen: ObservedReplica) -> Change:
    if stored.replica.state == ReplicaState.DRAINING:
        return drained_change(stored)
    if ReplicaState.FENCED in (stored.replica.state, seen.state) or stored.replica.state == ReplicaState.LOST:
        return Change(ReplicaState.STOPPED, {"reason": seen.reason})
    return Change(ReplicaState.FAILED, {"reason": seen.reason or "Its node stopped it."})


def drained_change(stored: StoredReplica) -> Change:
    """What a replica becomes that was being ended and is gone."""
    if stored.fault:
        return Change(ReplicaState.FAILED, {"reason": stored.fault, "running": False})
    return Change(ReplicaState.STOPPED, {"running": False})


def _alive(stored: StoredReplica, seen: ObservedReplica, now: datetime) -> Change | None:
    replica = stored.replica
    state = seen.state
    if state != replica.state and state not in REPLICA_TRANSITIONS[replica.state]:
        state = ReplicaState.LOADING  # it was up between two looks; the next look moves it on
    member = seen.members[0] if seen.members else None
    values: dict[str, Any] = {
        "running": True,
        "reason": seen.reason,
        "phase": seen.phase,
        "progress": seen.progress,
        "address": seen.address,
        "token": seen.token,
        "pid": member.pid if member else None,
        "restarts": seen.restarts,
        "adopted": seen.adopted,
        "memory_bytes": noticeable(replica.memory_bytes, member.memory_bytes if member else None),
        "memory_peak_bytes": noticeable(replica.memory_peak_bytes, member.memory_peak_bytes if member else None),
        "limits": member.limits if member else [],
        # the node says what it is held to: a change of a slice that was cut off half-way is seen here
        "allocation": (member.allocation if member else None) or replica.allocation,
        "troubled_at": troubled_at(stored, seen.state, seen.reason, now),
    }
    before = {
        **replica.model_dump(),
        "allocation": replica.allocation,
        "running": stored.running,
        "token": stored.token,
    }
    before["troubled_at"] = stored.troubled_at
    changed = {name: value for name, value in values.items() if before[name] != value}
    if "allocation" in changed:
        changed["allocation"] = changed["allocation"].model_dump(mode="json")
    return Change(state, changed) if changed or state != replica.state else None


def troubled_at(stored: StoredReplica, state: ReplicaState, reason: str | None, now: datetime) -> datetime | None:
    """Since when starts fail: from the first failure of a replica that never became ready."""
    if stored.replica.ready_at is not None or state == ReplicaState.READY:
        return None
    if stored.troubled_at is None and reason:
        return now
    return stored.troubled_at


def noticeable(before: int | None, now: int | None) -> int | None:
    """Memory as it is written down: what it was, unless it moved."""
    if before and now and abs(now - before) < before * _MEMORY_STEP:
        return before
    return now
