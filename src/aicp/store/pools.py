"""Pools: named sets of nodes, and what is free in them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String, Text, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.accelerator import Accelerator
from aicp.core.errors import NotFoundError
from aicp.core.node import Node, NodeState, TaintEffect
from aicp.core.pool import PoolOrder, PoolQuota, Purpose, TrainingWindow, takes_inference
from aicp.core.service import Service
from aicp.scheduler.placement import CPU, Commitment, Device, NodeCapacity, PoolPolicy, Snapshot
from aicp.scheduler.quotas import Quotas
from aicp.scheduler.reservations import with_reservations
from aicp.store.database import Base, Transaction
from aicp.store.nodes import Nodes
from aicp.store.replicas import Holding, Replicas, StoredReplica
from aicp.store.reservations import ReservationRow, Reservations, for_scheduler

DEFAULT_POOL = "default"


class PoolRow(Base):
    """A named set of nodes with one purpose."""

    __tablename__ = "pools"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    description: Mapped[str] = mapped_column(Text, default="")
    purpose: Mapped[str] = mapped_column(String(20), default=Purpose.INFERENCE)
    windows: Mapped[list[Any]] = mapped_column(default=list)
    placing: Mapped[str] = mapped_column(String(10), default=PoolOrder.SPREAD)
    unlike: Mapped[bool] = mapped_column(default=True)
    borrowing: Mapped[bool] = mapped_column(default=False)
    memory_oversubscription: Mapped[float] = mapped_column(default=1.0)
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]


class PoolQuotaRow(Base):
    """What a project may hold of a pool; None is no limit."""

    __tablename__ = "pool_quotas"

    pool: Mapped[str] = mapped_column(String(63), primary_key=True)
    project: Mapped[str] = mapped_column(String(63), primary_key=True)
    accelerators: Mapped[int | None]
    compute_percent: Mapped[int | None]
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    lend_percent: Mapped[int] = mapped_column(default=100)
    borrow_percent: Mapped[int | None]


@dataclass(frozen=True, slots=True)
class PoolIntent:
    """What operators say of a pool."""

    name: str
    description: str = ""
    purpose: Purpose = Purpose.INFERENCE
    windows: tuple[TrainingWindow, ...] = ()
    labels: Mapping[str, str] | None = None
    quotas: tuple[PoolQuota, ...] = ()
    policy: PoolOrder = PoolOrder.SPREAD
    unlike: bool = True
    borrowing: bool = False
    memory_oversubscription: float = 1.0

    def closed(self, now: datetime | None) -> str | None:
        """Why it takes no new replica, in words; windows count only where a time is given."""
        return takes_inference(self.purpose, list(self.windows), now)


class Pools:
    """Queries over pools, and the snapshot that decisions are made on."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._session = tx.session

    async def ensure_default(self, now: datetime) -> None:
        """The pool `default` always exists."""
        if await self._session.get(PoolRow, DEFAULT_POOL) is None:
            text = "Every machine that joins without naming a pool."
            await self.add(PoolIntent(DEFAULT_POOL, text), now)

    async def add(self, pool: PoolIntent, now: datetime) -> None:
        """Adds a pool whose name is free."""
        self._session.add(PoolRow(name=pool.name, created_at=now, **_columns(pool)))
        await self._session.flush()
        await self._set_quotas(pool)

    async def change(self, pool: PoolIntent) -> None:
        """Writes all that is said of a pool anew. Raises NotFoundError."""
        row = await self._row(pool.name)
        for name, value in _columns(pool).items():
            setattr(row, name, value)
        await self._session.flush()
        await self._set_quotas(pool)

    async def remove(self, name: str) -> None:
        """Forgets a pool with its quotas and reservations. Raises NotFoundError."""
        await self._session.delete(await self._row(name))
        await self._session.execute(delete(PoolQuotaRow).where(PoolQuotaRow.pool == name))
        await self._session.execute(delete(ReservationRow).where(ReservationRow.pool == name))
        await self._session.flush()

    async def forget_project(self, project: str) -> None:
        """Takes a project's quotas and reservations away in every pool."""
        await self._session.execute(delete(PoolQuotaRow).where(PoolQuotaRow.project == project))
        await self._session.execute(delete(ReservationRow).where(ReservationRow.project == project))

    async def list(self) -> list[PoolIntent]:
        """All pools by name."""
        quotas: dict[str, list[PoolQuotaRow]] = {}
        for quota in await self._session.scalars(select(PoolQuotaRow).order_by(PoolQuotaRow.project)):
            quotas.setdefault(quota.pool, []).append(quota)
        rows = await self._session.scalars(select(PoolRow).order_by(PoolRow.name))
        return [_intent(row, quotas.get(row.name, [])) for row in rows]

    async def find(self, name: str) -> PoolIntent | None:
        """The pool `name`."""
        row = await self._session.get(PoolRow, name)
        return None if row is None else await self._read(row)

    async def get(self, name: str) -> PoolIntent:
        """One pool. Raises NotFoundError that names those that exist."""
        return await self._read(await self._row(name))

    async def lock(self, name: str) -> None:
        """One transaction at a time decides about a pool from here on. Raises NotFoundError as `get` does."""
        await self._row(name)
        await self._session.execute(select(PoolRow.name).where(PoolRow.name == name).with_for_update())

    async def snapshot(self, now: datetime | None = None) -> Snapshot:
        """All nodes with all that is given away, at this moment; without `now`, neither windows of training nor
        reservations count."""
        nodes = await Nodes(self._tx).all()
        charged = await Replicas(self._tx).charged()
        pools = await self.list()
        snapshot = make_snapshot(nodes, charged, closed_pools(pools, now), pool_policies(pools))
        if now is None:
            return snapshot
        return with_reservations(snapshot, for_scheduler(await Reservations(self._tx).list(now)), now)

    async def _read(self, row: PoolRow) -> PoolIntent:
        query = select(PoolQuotaRow).where(PoolQuotaRow.pool == row.name).order_by(PoolQuotaRow.project)
        return _intent(row, list(await self._session.scalars(query)))

    async def _row(self, name: str) -> PoolRow:
        row = await self._session.get(PoolRow, name)
        if row is None:
            known = ", ".join(await self._session.scalars(select(PoolRow.name).order_by(PoolRow.name)))
            raise NotFoundError(f"There is no pool {name!r}.", hint=f"Known: {known or 'none yet'}.")
        return row

    async def _set_quotas(self, pool: PoolIntent) -> None:
        await self._session.execute(delete(PoolQuotaRow).where(PoolQuotaRow.pool == pool.name))
        self._session.add_all(PoolQuotaRow(pool=pool.name, **quota.model_dump()) for quota in pool.quotas)
        await self._session.flush()


def _columns(pool: PoolIntent) -> dict[str, Any]:
    return {
        "description": pool.description,
        "purpose": pool.purpose,
        "windows": [window.model_dump(mode="json") for window in pool.windows],
        "labels": dict(pool.labels or {}),
        "placing": pool.policy,
        "unlike": pool.unlike,
        "borrowing": pool.borrowing,
        "memory_oversubscription": pool.memory_oversubscription,
    }


def _intent(row: PoolRow, quotas: Sequence[PoolQuotaRow]) -> PoolIntent:
    return PoolIntent(
        name=row.name,
        description=row.description,
        purpose=Purpose(row.purpose),
        windows=tuple(TrainingWindow.model_validate(window) for window in row.windows),
        labels=row.labels,
        policy=PoolOrder(row.placing),
        unlike=row.unlike,
        borrowing=row.borrowing,
        memory_oversubscription=row.memory_oversubscription,
        quotas=tuple(
            PoolQuota(
                project=quota.project,
                accelerators=quota.accelerators,
                compute_percent=quota.compute_percent,
                memory_bytes=quota.memory_bytes,
                lend_percent=quota.lend_percent,
                borrow_percent=quota.borrow_percent,
            )
            for quota in quotas
        ),
    )


def pool_quotas(pools: Sequence[PoolIntent], services: Sequence[Service]) -> Quotas:
    """The quotas of `pools`, which of these borrow, and the project of every service."""
    return Quotas(
        {(pool.name, quota.project): quota for pool in pools for quota in pool.quotas},
        {service.name: service.project for service in services},
        frozenset(pool.name for pool in pools if pool.borrowing),
    )


def closed_pools(pools: Sequence[PoolIntent], now: datetime | None) -> dict[str, str]:
    """The pools that take no new replica, each with why."""
    return {pool.name: why for pool in pools if (why := pool.closed(now)) is not None}


def pool_policies(pools: Sequence[PoolIntent]) -> dict[str, PoolPolicy]:
    """How each pool is filled."""
    return {
        pool.name: PoolPolicy(pool.policy, pool.unlike, memory_factor=pool.memory_oversubscription) for pool in pools
    }


def with_priorities(snapshot: Snapshot, services: Sequence[Service]) -> Snapshot:
    """The snapshot in which what is given away knows the project and the priority of its service."""
    known = {service.name: (service.project, service.spec.priority) for service in services}
    commitments = [
        replace(item, project=known[item.service][0], priority=known[item.service][1])
        if item.service in known
        else item
        for item in snapshot.commitments
    ]
    return replace(snapshot, commitments=tuple(commitments))


def make_snapshot(
    nodes: list[Node],
    charged: list[StoredReplica],
    closed: Mapping[str, str] | None = None,
    policies: Mapping[str, PoolPolicy] | None = None,
) -> Snapshot:
    """Capacities and commitments of `nodes`; memory that others use is what is in use beyond the replicas' own.

    `closed`: pools that take no new replica, each with why; `policies`: how pools are filled.
    """
    held: dict[str, list[Holding]] = {}
    holdings = [holding for item in charged for holding in item.holdings()]
    for holding in holdings:
        held.setdefault(holding.allocation.node_id, []).append(holding)
    commitments = tuple(Commitment(item.replica_id, item.service, item.allocation) for item in holdings)
    return Snapshot(
        tuple(
            _capacity(node, held.get(node.id, []), closed or {}, (policies or {}).get(node.pool, PoolPolicy()))
            for node in nodes
            if node.status
        ),
        commitments,
        policies or {},
    )


def _capacity(node: Node, held: list[Holding], closed: Mapping[str, str], policy: PoolPolicy) -> NodeCapacity:
    assert node.status is not None
    host = next((item for item in node.status.accelerators if item.vendor == CPU), None)
    own = sum(item.memory_bytes or 0 for item in held)
    given = Counter[tuple[str, str]]()
    for item in held:
        for share in item.allocation.devices:
            # A whole device is its holder's, whatever the size that was asked for.
            whole = share.mechanism is None
            given[share.vendor, share.device_id] += sys.maxsize if whole else share.memory_bytes
    reasons = {
        NodeState.LOST: f"it does not answer{': ' + node.reason if node.reason else ''}",
        NodeState.CORDONED: "it is being drained" if node.draining else "it is cordoned",
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
        unschedulable=reasons.get(node.state) or closed.get(node.pool),
        labels=node.labels,
        taints=tuple(taint.text for taint in node.taints if taint.effect == TaintEffect.NO_SCHEDULE),
        avoided=tuple(taint.text for taint in node.taints if taint.effect == TaintEffect.PREFER_NO_SCHEDULE),
        links=_links(node.status.accelerators),
        model_digests=frozenset(node.status.model_digests),
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
                memory_factor=policy.memory_factor,
            )
            for item in node.status.accelerators
        ),
    )


def _links(devices: Sequence[Accelerator]) -> dict[tuple[str, str], str]:
    """How the devices of a node are wired to each other, as its agent says."""
    return {
        (device.device_id, other): str(kind)
        for device in devices
        for other, kind in device.facts.get("links", {}).items()
    }


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
