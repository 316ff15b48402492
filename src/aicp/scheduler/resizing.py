"""Slices that change while their replicas run. Pure."""

from __future__ import annotations

from dataclasses import replace

from aicp.core.launch import Allocation
from aicp.core.slice import SliceRequest, Slicing, size_slice
from aicp.scheduler.placement import NodeCapacity, Placement, Refusal, Requirement, Snapshot, place


def resize(
    replica_id: str, service: str, held: Allocation, need: Requirement, snapshot: Snapshot
) -> Placement | Refusal | None:
    """The allocation on the same devices that `need` asks for now, or why there is no room; None when it has it.

    Only slices change in this way, and only where the mechanism that holds them can do it.
    """
    node = next((node for node in snapshot.nodes if node.id == held.node_id), None)
    if need.slice is None or need.nodes > 1 or node is None or not _differs(held, need.slice, node):
        return None
    mechanisms = {(share.vendor, share.device_id): share.mechanism for share in held.devices}
    kept = tuple(
        replace(device, slicing=tuple(way for way in device.slicing if way.mechanism == mechanisms[key]))
        for device in node.devices
        if (key := (device.vendor, device.device_id)) in mechanisms
    )
    # a cordoned or tainted node takes nothing new; what runs there may still change
    alone = replace(node, devices=kept, unschedulable=None, taints=(), labels=dict(need.selector))
    others = snapshot.without(lambda item: item.replica_id == replica_id)
    answer = place(need, Snapshot((alone,), tuple(others.on(node.id))), service)
    if isinstance(answer, Refusal):
        return answer
    order = list(mechanisms)
    shares = sorted(answer.allocation.devices, key=lambda share: order.index((share.vendor, share.device_id)))
    return Placement(answer.node, answer.allocation.model_copy(update={"devices": shares}))


def larger(one: Allocation, other: Allocation) -> Allocation:
    """What two allocations of the same devices need at most: until a change is made, neither more nor less is free."""
    theirs = {(share.vendor, share.device_id): share for share in other.devices}
    shares = [
        share.model_copy(
            update={
                "compute_percent": max(share.compute_percent, theirs[key].compute_percent),
                "memory_bytes": max(share.memory_bytes, theirs[key].memory_bytes),
            }
        )
        for share in one.devices
        if (key := (share.vendor, share.device_id)) in theirs
    ]
    return one.model_copy(
        update={
            "devices": shares,
            "cpu_cores": max(one.cpu_cores, other.cpu_cores),
            "memory_bytes": max(one.memory_bytes, other.memory_bytes),
        }
    )


def _differs(held: Allocation, asked: SliceRequest, node: NodeCapacity) -> bool:
    ways = {(device.vendor, device.device_id): device.slicing for device in node.devices}
    for share in held.devices:
        way = _way(ways.get((share.vendor, share.device_id), ()), share.mechanism)
        size = size_slice(asked, way) if way is not None and way.resizable else None
        if size is not None and (share.compute_percent, share.memory_bytes, share.policy) != (
            size.compute_percent,
            size.memory_bytes,
            size.policy,
        ):
            return True
    return False


def _way(ways: tuple[Slicing, ...], mechanism: str | None) -> Slicing | None:
    return next((way for way in ways if way.mechanism == mechanism), None)
