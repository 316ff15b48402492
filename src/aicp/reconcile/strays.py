"""Replicas that a node runs and the store does not know. A database brought back from an older copy leaves them.

They are ended, but never in haste: a store that does not answer, that is being filled again, or that is not the one the
node belonged to, must not cost a running service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.node import Node

GRACE = timedelta(minutes=2)
GRACE_IN_DOUBT = timedelta(hours=1)
"""Where the store met the node only after the replica began: perhaps it is the store that is wrong."""
LOOKS = 10
"""Looks in a row, on top of the time: one long pause of the control plane is not a long observation."""
_RUNS = frozenset({ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.READY, ReplicaState.DEGRADED})


@dataclass(frozen=True, slots=True)
class NoteStray:
    """Say that a replica is unknown and when it will be stopped."""

    replica_id: str
    node: str
    stop_at: datetime


@dataclass(frozen=True, slots=True)
class StopStray:
    """Stop a replica that stayed unknown."""

    replica_id: str
    generation: int
    node: str


StrayAction = NoteStray | StopStray


@dataclass(slots=True)
class _Sighting:
    since: datetime
    looks: int = 0
    stop_at: datetime | None = None
    """Said once and kept: an engine that restarts in between looks younger than it is."""
    noted: bool = False


class Strays:
    """Counts for how long each unknown replica has been seen without a break."""

    def __init__(self) -> None:
        self._sightings: dict[str, _Sighting] = {}

    def look(
        self, seen: Sequence[ObservedReplica], known: set[str], nodes: Sequence[Node], now: datetime
    ) -> list[StrayAction]:
        """What to do after one whole observation: `seen` by the runner, `known` to the store."""
        unknown = {item.replica_id: item for item in seen if item.replica_id not in known and item.state in _RUNS}
        self._sightings = {key: self._sightings.get(key) or _Sighting(now) for key in unknown}
        actions: list[StrayAction] = []
        for replica_id, replica in unknown.items():
            sighting = self._sightings[replica_id]
            sighting.looks += 1
            if sighting.looks < LOOKS:
                continue
            node = next((node for node in nodes if node.id in {member.node_id for member in replica.members}), None)
            if sighting.stop_at is None:
                sighting.stop_at = sighting.since + _grace(replica, node)
            name = node.name if node else ""
            if not sighting.noted:
                actions.append(NoteStray(replica_id, name, sighting.stop_at))
            elif now >= sighting.stop_at:
                actions.append(StopStray(replica_id, replica.generation, name))
        return actions

    def noted(self, replica_id: str) -> None:
        """It was written down that this one will be stopped; before that it never is."""
        if sighting := self._sightings.get(replica_id):
            sighting.noted = True

    def forget(self) -> None:
        """An observation failed: counting begins anew."""
        self._sightings.clear()


def _grace(replica: ObservedReplica, node: Node | None) -> timedelta:
    started = replica.started_at
    trusted = node is not None and started is not None and node.created_at < started
    return GRACE if trusted else GRACE_IN_DOUBT
