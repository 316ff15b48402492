"""Replicas: running copies of a service, and the legal moves of their state."""

from __future__ import annotations

from pydantic import AwareDatetime

from aicp.core.errors import ConflictError
from aicp.core.launch import Allocation, ReplicaState
from aicp.core.value import Value

# Every state is written by the reconcile loop alone. Its moves:
#   pending -> allocated -> starting -> loading -> ready <-> degraded -> draining -> stopped
#   any live state -> failed (process ended) or lost (node silent); lost -> fenced (node said dead) or what is seen
_LIVE = {
    ReplicaState.ALLOCATED,
    ReplicaState.STARTING,
    ReplicaState.LOADING,
    ReplicaState.READY,
    ReplicaState.DEGRADED,
    ReplicaState.DRAINING,
}
_ENDS = {ReplicaState.DRAINING, ReplicaState.STOPPED, ReplicaState.FAILED, ReplicaState.LOST}
REPLICA_TRANSITIONS: dict[ReplicaState, set[ReplicaState]] = {
    ReplicaState.PENDING: {ReplicaState.ALLOCATED, ReplicaState.STOPPED, ReplicaState.FAILED},
    ReplicaState.ALLOCATED: {ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.READY} | _ENDS,
    ReplicaState.STARTING: {ReplicaState.LOADING, ReplicaState.READY} | _ENDS,
    ReplicaState.LOADING: {ReplicaState.STARTING, ReplicaState.READY, ReplicaState.DEGRADED} | _ENDS,
    ReplicaState.READY: {ReplicaState.DEGRADED, ReplicaState.LOADING, ReplicaState.STARTING} | _ENDS,
    ReplicaState.DEGRADED: {ReplicaState.READY, ReplicaState.LOADING, ReplicaState.STARTING} | _ENDS,
    ReplicaState.DRAINING: {ReplicaState.STOPPED, ReplicaState.FAILED, ReplicaState.LOST},
    ReplicaState.LOST: _LIVE | {ReplicaState.FENCED, ReplicaState.STOPPED, ReplicaState.FAILED},
    ReplicaState.FENCED: {ReplicaState.STOPPED},
    ReplicaState.STOPPED: set(),
    ReplicaState.FAILED: set(),
}
ENDED_REPLICA_STATES = frozenset({ReplicaState.STOPPED, ReplicaState.FAILED})


def check_replica_transition(current: ReplicaState, wanted: ReplicaState) -> None:
    """Raises ConflictError when a replica may not move from `current` to `wanted`."""
    if wanted not in REPLICA_TRANSITIONS[current]:
        raise ConflictError(f"A replica that is {current} cannot become {wanted}.")


class ReplicaPart(Value):
    """One member of a replica that spans nodes: a process on a node of its own. `state` is None before its start."""

    node_id: str
    node: str
    allocation: Allocation
    state: ReplicaState | None = None
    reason: str | None = None
    phase: str | None = None
    pid: int | None = None
    memory_bytes: int | None = None
    limits: list[str] = []


class Replica(Value):
    """One running copy of a service revision (`generation`).

    One that spans nodes has `members`, the leader first; what stands beside them is the leader's.
    """

    id: str
    service: str
    generation: int
    state: ReplicaState
    reason: str | None = None
    phase: str | None = None
    progress: float | None = None
    allocation: Allocation | None = None
    node: str | None = None
    address: str | None = None
    pid: int | None = None
    restarts: int = 0
    adopted: bool = False
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    limits: list[str] = []
    members: list[ReplicaPart] = []
    created_at: AwareDatetime
    ready_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None

    @property
    def allocations(self) -> list[Allocation]:
        """What its members hold, the leader's first; empty before it has a place."""
        if self.members:
            return [member.allocation for member in self.members]
        return [] if self.allocation is None else [self.allocation]
