"""Pools: named sets of nodes, and what is free in them."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.accelerator import SIMULATED
from aicp.core.errors import NotFoundError
from aicp.core.node import Node, NodeState, Pool
from aicp.scheduler.placement import CPU, Commitment, Device, NodeCapacity, Snapshot
from aicp.store.database import Base, Transaction
from aicp.store.nodes import Nodes
from aicp.store.replicas import Replicas, StoredReplica

DEFAULT_POOL = "default"


class PoolRow(Base):
    """A named set of nodes with one policy."""

    __tablename__ = "pools"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    description: Mapped[str] = mapped_column(Text, default="")
    policy: Mapped[str] = mapped_column(String(20), default="inference")
    created_at: Mapped[datetime]


class Pools:
    """Queries over pools, and the snapshot that decisions are made on."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._session = tx.session

    async def ensure_default(self, now: datetime) -> None:
        """The pool `default` always exists."""
        if await self._session.get(PoolRow, DEFAULT_POOL) is None:
            text = "Every machine that joins without naming a pool."
            self._session.add(PoolRow(name=DEFAULT_POOL, description=text, policy="inference", created_at=now))
            await self._session.flush()

    async def list(self) -> list[Pool]:
        """All pools with what is free."""
        snapshot = await self.snapshot()
        rows = await self._session.scalars(select(PoolRow).order_by(PoolRow.name))
        return [_pool(row, snapshot) for row in rows]

    async def get(self, name: str) -> Pool:
        """One pool. Raises NotFoundError that names those that exist."""
        row = await self._session.get(PoolRow, name)
        if row is None:
            known = ", ".join(await self._session.scalars(select(PoolRow.name).order_by(PoolRow.name)))
            raise NotFoundError(f"There is no pool {name!r}.", hint=f"Known: {known or 'none yet'}.")
        return _pool(row, await self.snapshot())

    async def snapshot(self) -> Snapshot:
        """All nodes with all that is given away, at this moment."""
        nodes = await Nodes(self._tx).all()
        charged = await Replicas(self._tx).charged()
        return make_snapshot(nodes, charged)


def make_snapshot(nodes: list[Node], charged: list[StoredReplica]) -> Snapshot:
    """Capacities and commitments of `nodes`; memory that others use is what is in use beyond the replicas' own."""
    held: dict[str, list[StoredReplica]] = {}
    for item in charged:
        held.setdefault(item.node_id or "", []).append(item)
    commitments = tuple(
        Commitment(item.replica.id, item.replica.service, item.replica.allocation)
        for item in charged
        if item.replica.allocation is not None
    )
    return Snapshot(tuple(_capacity(node, held.get(node.id, [])) for node in nodes if node.status), commitments)


def _capacity(node: Node, held: list[StoredReplica]) -> NodeCapacity:
    assert node.status is not None
    host = next((item for item in node.status.accelerators if item.vendor == CPU), None)
    own = sum(item.replica.memory_bytes or 0 for item in held)
    given = Counter[tuple[str, str]]()
    for item in held:
        for share in item.replica.allocation.devices if item.replica.allocation else ():
            # A whole device is its holder's, whatever the size that was asked for.
            whole = share.mechanism is None
            given[share.vendor, share.device_id] += sys.maxsize if whole else share.memory_bytes
    reasons = {
        NodeState.LOST: f"it does not answer{': ' + node.reason if node.reason else ''}",
        NodeState.CORDONED: "it is cordoned",
    }
    usable = min(host.memory_bytes, node.status.memory_bytes) if host else node.status.memory_bytes
    return NodeCapacity(
        id=node.id,
        name=node.name,
        pool=node.pool,
        cpu_cores=float((host.cores if host else None) or node.status.cpu_cores),
        memory_bytes=usable,
        # What is kept back from engines already covers the same amount of other use.
        foreign_bytes=max(0, node.status.memory_used_bytes - own - (node.status.memory_bytes - usable)),
        unschedulable=reasons.get(node.state),
        devices=tuple(
            Device(
                vendor=item.vendor,
                device_id=item.device_id,
                index=item.index,
                product=item.product,
                memory_bytes=item.memory_bytes,
                foreign_bytes=0
                if item.vendor == CPU
                else max(0, (item.metrics.memory_used_bytes or 0) - given[item.vendor, item.device_id]),
                healthy=item.health != "failed",
                slicing=tuple(item.slicing),
                cores=item.cores,
            )
            for item in node.status.accelerators
        ),
    )


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How much of all accelerators is in use; simulated ones do not count.

    A platform without any counts its processors as accelerators.
    """

    accelerators: int
    accelerators_in_use: int
    memory_bytes: int
    memory_used_bytes: int


def pool_use(nodes: list[Node], snapshot: Snapshot) -> PoolUse:
    """The sum over all nodes: accelerators with an allocation, and memory in use."""
    devices = [(node, item) for node in nodes if node.status for item in node.status.accelerators if not item.simulated]
    others = [(node, item) for node, item in devices if item.vendor != CPU]
    chosen = others or devices
    given = {
        (item.allocation.node_id, share.device_id) for item in snapshot.commitments for share in item.allocation.devices
    }
    return PoolUse(
        accelerators=len(chosen),
        accelerators_in_use=sum((node.id, item.device_id) in given for node, item in chosen),
        memory_bytes=sum(item.memory_bytes for _, item in chosen),
        memory_used_bytes=sum(
            item.metrics.memory_used_bytes
            or (node.status.memory_used_bytes if item.vendor == CPU and node.status else 0)
            for node, item in chosen
        ),
    )


def _pool(row: PoolRow, snapshot: Snapshot) -> Pool:
    nodes = [node for node in snapshot.nodes if node.pool == row.name]
    open_nodes = [node for node in nodes if node.unschedulable is None]
    devices = [device for node in nodes for device in node.devices if device.vendor != CPU]
    free = [
        device
        for node in open_nodes
        for vendor in sorted({device.vendor for device in node.devices} - {CPU})
        for device in snapshot.devices_free(node, vendor)
    ]
    return Pool(
        name=row.name,
        description=row.description,
        policy=row.policy,
        nodes=len(nodes),
        accelerators=len(devices),
        accelerators_free=len(free),
        accelerators_simulated=sum(device.vendor == SIMULATED for device in devices),
        memory_bytes=sum(device.memory_bytes for device in devices),
        memory_free_bytes=sum(device.memory_bytes - device.foreign_bytes for device in free),
        cpu_cores=sum(node.cpu_cores for node in nodes),
        cpu_cores_free=sum(max(0.0, node.cpu_cores - snapshot.cores_given(node)) for node in open_nodes),
        host_memory_bytes=sum(node.memory_bytes for node in nodes),
        host_memory_free_bytes=sum(snapshot.memory_free(node) for node in open_nodes),
    )
