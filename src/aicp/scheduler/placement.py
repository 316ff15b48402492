"""Where a replica goes: filter the nodes, score those that are left; answers an allocation or a reason per node.

Memory is never given twice. CPU cores are shared in time: each replica is capped at its own cores, and a node takes
up to CPU_SHARING times its cores in allocations, so that an update or a second service can run beside the first.
Slices are hard: those of a device never add up to more than the device, see room.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.slice import SliceSize
from aicp.scheduler.refusal import NodeReason, Refusal, refuse
from aicp.scheduler.resources import (
    CPU,
    Commitment,
    Device,
    NodeCapacity,
    Order,
    PoolPolicy,
    Requirement,
    Snapshot,
)
from aicp.scheduler.room import CPU_SHARING, DeviceRoom, NodeRoom

__all__ = [
    "CPU",
    "CPU_SHARING",
    "Commitment",
    "Device",
    "NodeCapacity",
    "NodeReason",
    "Order",
    "Placement",
    "PoolPolicy",
    "Refusal",
    "Requirement",
    "Snapshot",
    "place",
]


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer: bind the replica to this."""

    node: str
    allocation: Allocation


def place(need: Requirement, snapshot: Snapshot, service: str = "") -> Placement | Refusal:
    """The best node for one replica of `service`, or why there is none. Of a gang it places one member."""
    reasons: list[NodeReason] = []
    fitting: list[NodeRoom] = []
    policy = snapshot.policy(need.pool)
    for node, commitments in snapshot.by_node():
        if node.pool != need.pool:
            continue
        room = NodeRoom(node, commitments, policy)
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
    """Lower is better.

    Spread a service over nodes (in a pool that packs this comes last), then uncrowded cores, then nodes that hold the
    model's files, then the tightest node, then the name.
    """
    same, crowding, far, avoided = dislike(need, room, service)
    if need.slice is not None:
        opened = not room.parts(need)[need.devices - 1][0].slices
        tight = (opened, sum(item.free_whole for item in room.of_vendor(need.vendor)), room.memory_free)
    else:
        tight = (len(room.whole(need)) if need.accelerators else 0, room.memory_free)
    packs = room.policy.order == Order.PACK
    return (avoided, crowding, far, *tight, same) if packs else (avoided, same, crowding, far, *tight)


def dislike(need: Requirement, room: NodeRoom, service: str) -> tuple[int, float, bool, bool]:
    """Replicas of the service on the node, cores beyond its own if this one came, whether it lacks the model's files,
    whether it has a taint that makes it the last choice.

    A slice of the machine crowds nobody: its hundredths were free.
    """
    same = room.services.get(service, 0)
    beyond = room.cores_given + need.cpu_cores - room.node.cpu_cores
    crowding = 0.0 if need.slice is not None and need.vendor == CPU else max(0.0, beyond)
    far = need.model_digest is not None and need.model_digest not in room.node.model_digests
    avoided = not all(map(need.tolerates, room.node.avoided))
    return (same, crowding, far, avoided)


def bind(need: Requirement, room: NodeRoom) -> Allocation:
    """The allocation for what is needed on a node that can take it."""
    if need.slice is not None:
        return bind_slices(need, room.node, room.parts(need)[: need.devices])
    return bind_whole(need, room.node, room.choose_whole(need) if need.vendor != CPU else [])


def bind_whole(need: Requirement, node: NodeCapacity, chosen: Sequence[DeviceRoom]) -> Allocation:
    """Whole accelerators, or for vendor `cpu` a share of the machine."""
    shares = [
        DeviceShare(
            vendor=item.device.vendor,
            device_id=item.device.device_id,
            index=item.device.index,
            memory_bytes=need.accelerator_memory_bytes,
        )
        for item in chosen
    ]
    if need.vendor == CPU:
        shares = _cpu_shares(need, node)
    return Allocation(node_id=node.id, devices=shares, cpu_cores=need.cpu_cores, memory_bytes=need.memory_bytes)


def bind_slices(need: Requirement, node: NodeCapacity, chosen: Sequence[tuple[DeviceRoom, SliceSize]]) -> Allocation:
    """A slice of each of the chosen devices; one of the `cpu` device brings its cores and its memory."""
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
            rounding=_noted(item.device, size),
        )
        for item, size in chosen
    ]
    cores, memory = need.cpu_cores, need.memory_bytes
    if need.vendor == CPU:
        cores = sum((item.device.cores or node.cpu_cores) * size.compute_percent / 100 for item, size in chosen)
        memory = sum(size.memory_bytes for _, size in chosen)
    return Allocation(node_id=node.id, devices=shares, cpu_cores=cores, memory_bytes=memory)


def _noted(device: Device, size: SliceSize) -> str | None:
    """What was rounded, and that memory may be promised more than once where the pool's policy says so."""
    allows = any(way.oversubscribable for way in device.slicing if way.mechanism == size.mechanism)
    if device.memory_factor == 1 or not allows:
        return size.rounding
    note = f"the pool promises memory up to {device.memory_factor:g} times"
    return note if size.rounding is None else f"{size.rounding}; {note}"


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
