"""Where a replica goes: filter the nodes, score those that are left; answers an allocation or a reason per node.

Memory is never given twice. CPU cores are shared in time: each replica is capped at its own cores, and a node takes
up to CPU_SHARING times its cores in allocations, so that an update or a second service can run beside the first.
Slices are hard: those of a device never add up to more than the device, see room.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from aicp.core.launch import Allocation, DeviceShare
from aicp.scheduler.refusal import NodeReason, Refusal, refuse
from aicp.scheduler.resources import CPU, Commitment, Device, NodeCapacity, Requirement, Snapshot
from aicp.scheduler.room import CPU_SHARING, NodeRoom, slice_cores

__all__ = [
    "CPU",
    "CPU_SHARING",
    "Commitment",
    "Device",
    "NodeCapacity",
    "NodeReason",
    "Placement",
    "Refusal",
    "Requirement",
    "Snapshot",
    "place",
    "relief",
]


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer: bind the replica to this."""

    node: str
    allocation: Allocation


def place(need: Requirement, snapshot: Snapshot, service: str = "") -> Placement | Refusal:
    """The best node for one replica of `service`, or why there is none."""
    reasons: list[NodeReason] = []
    fitting: list[NodeRoom] = []
    for node, commitments in snapshot.by_node():
        if node.pool != need.pool:
            continue
        room = NodeRoom(node, commitments)
        reason = refuse(need, room)
        if reason is None:
            fitting.append(room)
        else:
            reasons.append(reason)
    if not fitting:
        return Refusal(need.pool, tuple(reasons))
    best = min(fitting, key=lambda room: (_score(need, room, service), room.node.name))
    return Placement(best.node.name, bind(need, best))


def _score(need: Requirement, room: NodeRoom, service: str) -> tuple[float, ...]:
    """Lower is better: spread a service over nodes, then uncrowded cores, then the tightest memory, then the name."""
    same = room.services.get(service, 0)
    crowding = max(0.0, room.cores_given + need.cpu_cores - room.node.cpu_cores)
    if need.slice is not None:
        opened = not room.parts(need)[need.devices - 1][0].slices
        whole = sum(item.free_whole for item in room.of_vendor(need.vendor))
        return (same, crowding, opened, whole, room.memory_free)
    spare = len(room.whole(need)) if need.accelerators else 0
    return (same, crowding, spare, room.memory_free)


def bind(need: Requirement, room: NodeRoom) -> Allocation:
    """The allocation for what is needed on a node that can take it."""
    if need.slice is not None:
        return _bind_slices(need, room)
    if need.vendor == CPU:
        shares = _cpu_shares(need, room.node)
    else:
        shares = [
            DeviceShare(
                vendor=item.device.vendor,
                device_id=item.device.device_id,
                index=item.device.index,
                memory_bytes=need.accelerator_memory_bytes,
            )
            for item in room.whole(need)[: need.accelerators]
        ]
    return Allocation(node_id=room.node.id, devices=shares, cpu_cores=need.cpu_cores, memory_bytes=need.memory_bytes)


def _bind_slices(need: Requirement, room: NodeRoom) -> Allocation:
    chosen = room.parts(need)[: need.devices]
    shares = [
        DeviceShare(
            vendor=item.device.vendor,
            device_id=item.device.device_id,
            index=item.device.index,
            compute_percent=size.compute_percent,
            memory_bytes=size.memory_bytes,
            mechanism=size.mechanism,
            policy=size.policy,
            profile=size.profile,
            rounding=size.rounding,
        )
        for item, size in chosen
    ]
    host = need.memory_bytes if need.vendor != CPU else sum(share.memory_bytes for share in shares)
    cores = sum(slice_cores(need, item, size, room.node) for item, size in chosen) if need.vendor == CPU else None
    return Allocation(
        node_id=room.node.id,
        devices=shares,
        cpu_cores=need.cpu_cores if cores is None else cores,
        memory_bytes=host,
    )


def _cpu_shares(need: Requirement, node: NodeCapacity) -> list[DeviceShare]:
    percent = max(1, min(100, round(100 * need.cpu_cores / node.cpu_cores)))
    return [
        DeviceShare(
            vendor=CPU,
            device_id=device.device_id,
            index=device.index,
            compute_percent=percent,
            memory_bytes=need.memory_bytes,
        )
        for device in node.devices
        if device.vendor == CPU
    ][:1]


def relief(need: Requirement, snapshot: Snapshot, service: str) -> list[str]:
    """Names of other services each of which would make room if it were stopped, at most three."""
    names = {item.service for item in snapshot.commitments} - {service}
    room = [
        name
        for name in sorted(names)
        if isinstance(place(need, snapshot.without(lambda item, name=name: item.service == name), service), Placement)
    ]
    return room[:3]
