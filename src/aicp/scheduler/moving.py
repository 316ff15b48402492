"""Replicas that are to go on elsewhere, to an exact place, while nothing is wrong with where they are. Pure.

Such a replica is treated as one on a node that is drained: it serves until its successor does. The successor gets the
place that was chosen, or the move is given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aicp.core.launch import Allocation, ReplicaState
from aicp.scheduler.placement import Placement, Refusal, Requirement, Snapshot, place
from aicp.scheduler.service_world import ReplicaView, Stay


@dataclass(frozen=True, slots=True)
class Target:
    """The place that was chosen for the successor of a replica."""

    replica_id: str
    allocation: Allocation


def open_targets(replicas: Sequence[ReplicaView], live: frozenset[ReplicaState]) -> list[Target]:
    """Targets of a service's replicas for which no successor has been placed yet."""
    taken = [_places(item.allocation) for item in replicas if item.allocation and item.state in live]
    return [
        Target(item.id, item.target)
        for item in replicas
        if item.target is not None and item.moving and item.state in live and _places(item.target) not in taken
    ]


def _places(allocation: Allocation) -> tuple[str, frozenset[tuple[str, str]]]:
    return allocation.node_id, frozenset((share.vendor, share.device_id) for share in allocation.devices)


def give_up(service_id: str, replicas: Sequence[ReplicaView], reason: str) -> list[Stay]:
    """All moves of a service end, its replicas stay where they are."""
    return [Stay(item.id, service_id, reason) for item in replicas if item.moving and item.target is not None]


def place_exactly(need: Requirement, target: Allocation, snapshot: Snapshot, service: str) -> Placement | Refusal:
    """The place on the devices of `target`, or why they do not take it now."""
    node = next((node for node in snapshot.nodes if node.id == target.node_id), None)
    if node is None:
        return Refusal(need.pool)
    wanted = {(share.vendor, share.device_id) for share in target.devices}
    devices = tuple(device for device in node.devices if (device.vendor, device.device_id) in wanted)
    narrow = Snapshot((replace(node, devices=devices),), tuple(snapshot.on(node.id)), snapshot.policies)
    return place(need, narrow, service)
