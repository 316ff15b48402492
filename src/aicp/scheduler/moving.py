"""Replicas that are to go on elsewhere, to an exact place, while nothing is wrong with where they are. Pure.

Such a replica is treated as one on a node that is drained: it serves until its successor does. The successor gets the
place that was chosen, or the move is given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from aicp.core.launch import Allocation, ReplicaState
from aicp.scheduler.placement import Placement, Refusal, Requirement, Snapshot, place
from aicp.scheduler.service_world import ReplicaView, Stay

MOVE_TIME = timedelta(minutes=15)
"""Within this time a successor must serve; afterwards the replica stays where it is."""


@dataclass(frozen=True, slots=True)
class Target:
    """The place that was chosen for the successor of a replica."""

    replica_id: str
    allocation: Allocation


def open_targets(replicas: Sequence[ReplicaView], live: frozenset[ReplicaState]) -> list[Target]:
    """Targets of a service's replicas for which no successor has been placed yet."""
    movers = [item for item in replicas if item.target is not None and item.moving and item.state in live]
    later = [item for item in replicas if item.allocation and item.state in live and not item.moving]
    found: list[Target] = []
    for item in movers:
        assert item.target is not None
        successor = next((other for other in later if _succeeds(other, item)), None)
        if successor is None:
            found.append(Target(item.id, item.target))
        else:
            later.remove(successor)
    return found


def _succeeds(other: ReplicaView, mover: ReplicaView) -> bool:
    """Whether another replica was made for the place of a mover's target; one may have been there before."""
    assert other.allocation is not None
    assert mover.target is not None
    made = mover.moved_at is not None and other.created_at >= mover.moved_at
    return made and _places(other.allocation) == _places(mover.target)


def _places(allocation: Allocation) -> tuple[str, frozenset[tuple[str, str]]]:
    return allocation.node_id, frozenset((share.vendor, share.device_id) for share in allocation.devices)


def give_up(service_id: str, replicas: Sequence[ReplicaView], failed: Sequence[ReplicaView]) -> list[Stay]:
    """Moves that end, because their time is over or because a start `failed` since; their replicas stay."""
    stays: list[Stay] = []
    for item in replicas:
        if item.overdue:
            stays.append(Stay(item.id, service_id, "its successor did not serve in time"))
        elif item.moving and item.target is not None:
            since = [one for one in failed if item.moved_at is None or one.created_at >= item.moved_at]
            if since:
                stays.append(Stay(item.id, service_id, f"its successor did not start ({since[0].reason})"))
    return stays


def place_exactly(need: Requirement, target: Allocation, snapshot: Snapshot, service: str) -> Placement | Refusal:
    """The place on the devices of `target`, or why they do not take it now."""
    node = next((node for node in snapshot.nodes if node.id == target.node_id), None)
    if node is None:
        return Refusal(need.pool)
    wanted = {(share.vendor, share.device_id) for share in target.devices}
    devices = tuple(device for device in node.devices if (device.vendor, device.device_id) in wanted)
    narrow = Snapshot((replace(node, devices=devices),), tuple(snapshot.on(node.id)), snapshot.policies)
    return place(need, narrow, service)
