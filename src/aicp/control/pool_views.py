"""What a pool has, what is taken of it, who waits and why: computed from one look at the store. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aicp.core.accelerator import SIMULATED, Accelerator
from aicp.core.launch import DeviceShare, ReplicaState
from aicp.core.node import Node, NodeState
from aicp.core.pool import (
    Held,
    HeldShare,
    Pool,
    PoolDevice,
    PoolNode,
    PoolQuota,
    PoolView,
    QuotaUse,
    WaitingNode,
    WaitingReplica,
)
from aicp.core.service import Service
from aicp.scheduler.borrowing import borrowed, lendable
from aicp.scheduler.gang import place_replica
from aicp.scheduler.placement import CPU, NodeCapacity, Refusal, Requirement, Snapshot
from aicp.scheduler.quotas import Quotas, held
from aicp.scheduler.reservations import with_reservations
from aicp.store.pools import PoolIntent, closed_pools, make_snapshot, pool_policies
from aicp.store.replicas import CHARGED, StoredReplica
from aicp.store.reservations import StoredReservation, for_scheduler


@dataclass(frozen=True, slots=True)
class Look:
    """All that the store knows at one moment. `requirements` are those of waiting replicas, by replica id."""

    pools: Sequence[PoolIntent]
    nodes: Sequence[Node]
    replicas: Sequence[StoredReplica]
    services: Sequence[Service]
    requirements: Mapping[str, Requirement]
    now: datetime
    reservations: Sequence[StoredReservation] = ()

    @property
    def charged(self) -> list[StoredReplica]:
        """Replicas that hold something."""
        return [item for item in self.replicas if item.replica.state in CHARGED and item.replica.allocation]

    @property
    def waiting(self) -> list[StoredReplica]:
        """Replicas without a place, oldest first."""
        return [
            item
            for item in self.replicas
            if item.replica.state == ReplicaState.PENDING and item.replica.id in self.requirements
        ]

    def snapshot(self) -> Snapshot:
        """What decisions would be made on."""
        snapshot = make_snapshot(
            list(self.nodes), self.charged, closed_pools(self.pools, self.now), pool_policies(self.pools)
        )
        return with_reservations(snapshot, for_scheduler(self.reservations), self.now)


def show_pool(pool: PoolIntent, look: Look, snapshot: Snapshot) -> Pool:
    """One pool in figures."""
    nodes = [node for node in look.nodes if node.pool == pool.name]
    capacities = [node for node in snapshot.nodes if node.pool == pool.name]
    open_nodes = [node for node in capacities if node.unschedulable is None]
    shares = _shares(look.charged)
    cards = [(node, card) for node in nodes for card in _cards(node)]
    free = [
        device
        for node in open_nodes
        for vendor in sorted({device.vendor for device in node.devices} - {CPU})
        for device in snapshot.devices_free(node, vendor)
    ]
    given = [sum(_memory(share, card) for _, share in shares.get((node.id, card.vendor, card.device_id), []))
             for node, card in cards]  # fmt: skip
    disks = [node.status for node in nodes if node.status and node.status.disk_bytes]
    return Pool(
        name=pool.name,
        description=pool.description,
        purpose=pool.purpose,
        windows=list(pool.windows),
        closed=pool.closed(look.now),
        policy=pool.policy,
        unlike=pool.unlike,
        borrowing=pool.borrowing,
        memory_oversubscription=pool.memory_oversubscription,
        labels=dict(pool.labels or {}),
        vendors=sorted({card.vendor for _, card in cards}),
        products=dict(Counter(card.product for _, card in cards)),
        simulated=any(card.simulated for _, card in cards),
        nodes=len(nodes),
        nodes_ready=sum(node.state == NodeState.READY for node in nodes),
        services=sum(service.spec.pool == pool.name for service in look.services),
        accelerators=len(cards),
        accelerators_used=sum((node.id, card.vendor, card.device_id) in shares for node, card in cards),
        accelerators_free=len(free),
        accelerators_simulated=sum(card.vendor == SIMULATED for _, card in cards),
        memory_bytes=sum(card.memory_bytes for _, card in cards),
        memory_used_bytes=sum(given),
        memory_free_bytes=sum(device.memory_bytes - device.foreign_bytes for device in free),
        cpu_cores=sum(node.cpu_cores for node in capacities),
        cpu_cores_free=sum(max(0.0, node.cpu_cores - snapshot.cores_given(node)) for node in open_nodes),
        host_memory_bytes=sum(node.memory_bytes for node in capacities),
        host_memory_free_bytes=sum(snapshot.memory_free(node) for node in open_nodes),
        storage_bytes=sum(status.disk_bytes or 0 for status in disks),
        storage_used_bytes=sum((status.disk_bytes or 0) - status.disk_free_bytes for status in disks),
        waiting=sum(look.requirements[item.replica.id].pool == pool.name for item in look.waiting),
        quotas=list(pool.quotas),
    )


def show_view(pool: PoolIntent, look: Look, visible: Collection[str] | None) -> PoolView:
    """One pool with its nodes and devices; names of replicas only of `visible` projects (None: all)."""
    snapshot = look.snapshot()
    shares = _shares(look.charged)
    quotas = Quotas(projects={service.name: service.project for service in look.services})
    return PoolView(
        pool=show_pool(pool, look, snapshot),
        nodes=[_node(node, snapshot, shares, visible) for node in look.nodes if node.pool == pool.name],
        waiting=explain_waiting(look, snapshot, visible, pool=pool.name),
        quotas=[
            _quota_use(quota, held(quotas.held_in(pool.name, quota.project, snapshot)), borrowing=pool.borrowing)
            for quota in pool.quotas
            if visible is None or quota.project in visible
        ],
    )


def _quota_use(quota: PoolQuota, now: Held, *, borrowing: bool) -> QuotaUse:
    if not borrowing:
        return QuotaUse(quota=quota, held=now)
    return QuotaUse(quota=quota, held=now, borrowed=borrowed(quota, now), lendable=lendable(quota, now))


def explain_waiting(
    look: Look,
    snapshot: Snapshot,
    visible: Collection[str] | None,
    *,
    pool: str | None = None,
    service: str | None = None,
) -> list[WaitingReplica]:
    """Replicas without a place, and why each node of the pool does not take them."""
    found: list[WaitingReplica] = []
    for item in look.waiting:
        need, replica = look.requirements[item.replica.id], item.replica
        wanted = (pool is None or need.pool == pool) and (service is None or replica.service == service)
        if not wanted or not (visible is None or item.project in visible):
            continue
        answer = place_replica(need, snapshot, replica.service)
        reasons = answer.reasons if isinstance(answer, Refusal) else ()
        found.append(
            WaitingReplica(
                replica=replica.id,
                service=replica.service,
                project=item.project,
                since=replica.created_at,
                reason=replica.reason or "Waiting for a place",
                nodes=[WaitingNode(node=reason.node, reason=reason.text) for reason in reasons],
            )
        )
    return found


_Shares = dict[tuple[str, str, str], list[tuple[StoredReplica, DeviceShare]]]


def _shares(charged: Sequence[StoredReplica]) -> _Shares:
    """What is held of each device, by (node, vendor, device)."""
    shares: _Shares = {}
    for item in charged:
        for given in item.holdings():
            for share in given.allocation.devices:
                key = (given.allocation.node_id, share.vendor, share.device_id)
                shares.setdefault(key, []).append((item, share))
    return shares


def _cards(node: Node) -> list[Accelerator]:
    return [device for device in node.status.accelerators if device.vendor != CPU] if node.status else []


def _memory(share: DeviceShare, device: Accelerator) -> int:
    """A whole accelerator is given with all of its memory, whatever the replica needs of it."""
    return device.memory_bytes if share.mechanism is None and device.vendor != CPU else share.memory_bytes


def _node(node: Node, snapshot: Snapshot, shares: _Shares, visible: Collection[str] | None) -> PoolNode:
    capacity = next((item for item in snapshot.nodes if item.id == node.id), None)
    devices = node.status.accelerators if node.status else []
    return PoolNode(
        id=node.id,
        name=node.name,
        state=node.state,
        reason=node.reason,
        draining=node.draining,
        labels=node.labels,
        taints=node.taints,
        cpu_cores=capacity.cpu_cores if capacity else 0,
        cpu_cores_given=snapshot.cores_given(capacity) if capacity else 0,
        memory_bytes=capacity.memory_bytes if capacity else 0,
        memory_free_bytes=snapshot.memory_free(capacity) if capacity else 0,
        devices=[
            _device(item, shares.get((node.id, item.vendor, item.device_id), []), visible, _promised(item, capacity))
            for item in devices
        ],
    )


def _promised(device: Accelerator, node: NodeCapacity | None) -> int:
    """Memory of a device that may be promised at all."""
    factor = next((item.memory_factor for item in node.devices if item.device_id == device.device_id), 1) if node else 1
    allows = any(way.oversubscribable for way in device.slicing)
    return int(device.memory_bytes * factor) if allows else device.memory_bytes


def _device(
    device: Accelerator, shares: list[tuple[StoredReplica, DeviceShare]], visible: Collection[str] | None, promised: int
) -> PoolDevice:
    memory = sum(_memory(share, device) for _, share in shares)
    compute = sum(share.compute_percent for _, share in shares)
    return PoolDevice(
        vendor=device.vendor,
        device_id=device.device_id,
        index=device.index,
        product=device.product,
        health=device.health,
        health_reason=device.health_reason,
        simulated=device.simulated,
        memory_bytes=device.memory_bytes,
        memory_used_bytes=device.metrics.memory_used_bytes,
        utilization_percent=device.metrics.utilization_percent,
        slicing=device.slicing,
        shares=[_share(item, share, device, visible) for item, share in shares],
        free_compute_percent=max(0, 100 - compute),
        free_memory_bytes=max(0, min(device.memory_bytes, promised - memory)),
    )


def _share(item: StoredReplica, share: DeviceShare, device: Accelerator, visible: Collection[str] | None) -> HeldShare:
    named = visible is None or item.project in visible
    return HeldShare(
        replica=item.replica.id if named else None,
        service=item.replica.service if named else None,
        project=item.project if named else None,
        state=item.replica.state,
        compute_percent=share.compute_percent,
        memory_bytes=_memory(share, device),
        mechanism=share.mechanism,
        profile=share.profile,
        policy=share.policy,
        rounding=share.rounding,
    )
