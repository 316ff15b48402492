"""Replicas and what is allocated to them. `transition` is the only way to change a state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String, Text, cast, delete, func, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.ids import new_id
from aicp.core.launch import Allocation, ReplicaState
from aicp.core.replica import ENDED_REPLICA_STATES, Replica, ReplicaPart, check_replica_transition
from aicp.core.value import Page
from aicp.store.database import Base, Transaction

CHARGED = frozenset(ReplicaState) - ENDED_REPLICA_STATES - {ReplicaState.PENDING, ReplicaState.FENCED}
"""States in which the allocation is given away. A lost replica stays charged until its node is back or fenced."""


class ReplicaRow(Base):
    """One copy of a service, kept after its end so that its log can be found."""

    __tablename__ = "replicas"
    __table_args__ = (Index("ix_replicas_service_state", "service_id", "state"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    service_id: Mapped[str] = mapped_column(String(40), index=True)
    service: Mapped[str] = mapped_column(String(63), index=True)
    project: Mapped[str] = mapped_column(String(63))
    generation: Mapped[int]
    state: Mapped[str] = mapped_column(String(12), index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    phase: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[float | None]
    allocation: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    node_id: Mapped[str | None] = mapped_column(String(40), index=True)
    node: Mapped[str | None] = mapped_column(String(255))
    address: Mapped[str | None] = mapped_column(Text)
    token: Mapped[str | None] = mapped_column(String(200))
    pid: Mapped[int | None]
    running: Mapped[bool] = mapped_column(default=False)
    restarts: Mapped[int] = mapped_column(default=0)
    adopted: Mapped[bool] = mapped_column(default=False)
    fault: Mapped[str | None] = mapped_column(Text)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    memory_peak_bytes: Mapped[int | None] = mapped_column(BigInteger)
    moving_to: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    moving_until: Mapped[datetime | None]
    limits: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    members: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    group_port: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
    troubled_at: Mapped[datetime | None]
    loading_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    draining_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class Holding:
    """What one member of a replica has of a node, and the memory it uses there."""

    replica_id: str
    service: str
    allocation: Allocation
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class StoredReplica:
    """A replica with what only the platform's own parts may see."""

    replica: Replica
    service_id: str
    project: str
    node_id: str | None
    token: str | None
    running: bool
    fault: str | None
    troubled_at: datetime | None
    loading_at: datetime | None
    draining_at: datetime | None
    group_port: int | None = None
    moving_to: Allocation | None = None
    moving_until: datetime | None = None

    @property
    def node_ids(self) -> frozenset[str]:
        """The nodes it has a place on."""
        return frozenset(allocation.node_id for allocation in self.replica.allocations)

    def holdings(self) -> list[Holding]:
        """What is given to it. Of one that spans nodes and lost one of them, members that ended hold nothing more."""
        replica = self.replica
        name = (replica.id, replica.service)
        if not replica.members:
            return [Holding(*name, one, replica.memory_bytes) for one in replica.allocations]
        over = replica.state == ReplicaState.LOST
        return [
            Holding(*name, part.allocation, part.memory_bytes)
            for part in replica.members
            if not (over and part.state in ENDED_REPLICA_STATES)
        ]


class Replicas:
    """Queries over replicas."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def create(self, service_id: str, service: str, project: str, generation: int, now: datetime) -> Replica:
        """Adds a pending replica."""
        row = ReplicaRow(
            id=new_id("rep"),
            service_id=service_id,
            service=service,
            project=project,
            generation=generation,
            state=ReplicaState.PENDING,
            created_at=now,
            running=False,
            restarts=0,
            adopted=False,
        )
        self._session.add(row)
        await self._session.flush()
        return _replica(row)

    async def get(self, replica_id: str) -> StoredReplica:
        """One replica. Raises NotFoundError."""
        row = await self._session.get(ReplicaRow, replica_id)
        if row is None:
            raise NotFoundError(f"There is no replica {replica_id!r}.")
        return _stored(row)

    async def current(self, ended_per_service: int = 20) -> list[StoredReplica]:
        """All that are not ended, and the newest ended ones of each service, oldest first."""
        ended = ReplicaRow.state.in_(ENDED_REPLICA_STATES)
        rank = (
            func.row_number()
            .over(partition_by=ReplicaRow.service_id, order_by=ReplicaRow.created_at.desc())
            .label("rank")
        )
        ranked = select(ReplicaRow.id, rank).where(ended).subquery()
        recent = select(ranked.c.id).where(ranked.c.rank <= ended_per_service)
        rows = await self._session.scalars(
            select(ReplicaRow).where(~ended | ReplicaRow.id.in_(recent)).order_by(ReplicaRow.created_at, ReplicaRow.id)
        )
        return [_stored(row) for row in rows]

    async def in_state(self, *states: ReplicaState) -> list[StoredReplica]:
        """Replicas in one of `states`, oldest first."""
        rows = await self._session.scalars(
            select(ReplicaRow).where(ReplicaRow.state.in_(states)).order_by(ReplicaRow.created_at, ReplicaRow.id)
        )
        return [_stored(row) for row in rows]

    async def charged(self) -> list[StoredReplica]:
        """Replicas whose allocation is given away."""
        return [item for item in await self.in_state(*CHARGED) if item.replica.allocation is not None]

    async def list(
        self,
        *,
        service: str | None = None,
        node_id: str | None = None,
        projects: Collection[str] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Replica]:
        """Newest first, ended ones too. `projects` limits to replicas of these projects (None: all)."""
        query = select(ReplicaRow)
        if service is not None:
            query = query.where(ReplicaRow.service == service)
        if node_id is not None:
            # ids have no part that another id could be
            spans = cast(ReplicaRow.members, Text).contains(f'"{node_id}"', autoescape=True)
            query = query.where(or_(ReplicaRow.node_id == node_id, spans))
        if projects is not None:
            query = query.where(ReplicaRow.project.in_(projects))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(ReplicaRow.created_at.desc(), ReplicaRow.id.desc()).offset(offset).limit(limit)
        )
        return Page(items=[_replica(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def transition(self, replica_id: str, state: ReplicaState, now: datetime, **changes: Any) -> bool:
        """Moves a replica to `state` with `changes`; False when it is there already and nothing changes.

        Raises ConflictError for an illegal move, or when the row moved meanwhile; NotFoundError when it is gone.
        """
        row = await self._session.get(ReplicaRow, replica_id)
        if row is None:
            raise NotFoundError(f"There is no replica {replica_id!r}.")
        current = ReplicaState(row.state)
        if current != state:
            check_replica_transition(current, state)
            changes = {**changes, **_stamps(row, state, now), "state": state}
        changes = {key: value for key, value in changes.items() if getattr(row, key) != value}
        if not changes:
            return False
        moved = await self._session.scalars(
            update(ReplicaRow)
            .where(ReplicaRow.id == replica_id, ReplicaRow.state == current)
            .values(**changes)
            .returning(ReplicaRow.id)
            .execution_options(synchronize_session="fetch")
        )
        if moved.first() is None:
            raise ConflictError(f"Replica {replica_id} moved on from {current} meanwhile.")
        return True

    async def place(
        self,
        replica_id: str,
        allocation: Allocation,
        node: str,
        now: datetime,
        *,
        followers: Sequence[tuple[Allocation, str]] = (),
        group_port: int | None = None,
    ) -> None:
        """Commits the binding of a pending replica to resources; of one that spans nodes all members at once."""
        members = [(allocation, node), *followers] if followers else []
        parts = [ReplicaPart(node_id=given.node_id, node=name, allocation=given) for given, name in members]
        await self.transition(
            replica_id,
            ReplicaState.ALLOCATED,
            now,
            allocation=allocation.model_dump(mode="json"),
            node_id=allocation.node_id,
            node=node,
            members=[part.model_dump(mode="json") for part in parts] or None,
            group_port=group_port,
            reason=None,
        )

    async def group_ports(self) -> set[int]:
        """Ports at which members of replicas that have not ended meet."""
        query = select(ReplicaRow.group_port).where(
            ReplicaRow.group_port.is_not(None), ReplicaRow.state.not_in(ENDED_REPLICA_STATES)
        )
        return {port for port in await self._session.scalars(query) if port is not None}

    async def resize(self, replica_id: str, allocation: Allocation) -> None:
        """Notes what a running replica is held to now."""
        values = {"allocation": allocation.model_dump(mode="json")}
        await self._session.execute(update(ReplicaRow).where(ReplicaRow.id == replica_id).values(**values))

    async def move(self, replica_id: str, to: Allocation | None, until: datetime | None) -> bool:
        """Notes where a replica's successor goes until a time; None: it stays. Whether that is news."""
        values = {"moving_to": None if to is None else to.model_dump(mode="json"), "moving_until": until}
        changed = await self._session.scalars(
            update(ReplicaRow)
            .where(ReplicaRow.id == replica_id, ReplicaRow.moving_until.is_distinct_from(until))
            .values(**values)
            .returning(ReplicaRow.id)
        )
        return changed.first() is not None

    async def forget(self, ended_before: datetime) -> list[str]:
        """Removes rows that ended before; answers their ids."""
        rows = await self._session.scalars(
            delete(ReplicaRow)
            .where(ReplicaRow.state.in_(ENDED_REPLICA_STATES), ReplicaRow.ended_at < ended_before)
            .returning(ReplicaRow.id)
        )
        return list(rows)

    async def newest(self, service: str) -> Replica | None:
        """The newest replica of a service, also of one that is gone."""
        query = select(ReplicaRow).where(ReplicaRow.service == service)
        row = await self._session.scalar(query.order_by(ReplicaRow.created_at.desc(), ReplicaRow.id.desc()).limit(1))
        return None if row is None else _replica(row)


def _stamps(row: ReplicaRow, state: ReplicaState, now: datetime) -> dict[str, Any]:
    """The times that belong to a move. The first loading and the first readiness count."""
    if state == ReplicaState.LOADING:
        return {"loading_at": row.loading_at or now}
    if state == ReplicaState.READY:
        return {"ready_at": row.ready_at or now}
    if state == ReplicaState.DRAINING:
        return {"draining_at": now}
    if state in ENDED_REPLICA_STATES:
        return {"ended_at": now, "running": False, "address": None, "token": None, "pid": None}
    return {}


def _replica(row: ReplicaRow) -> Replica:
    return Replica(
        id=row.id,
        service=row.service,
        generation=row.generation,
        state=ReplicaState(row.state),
        reason=row.reason,
        phase=row.phase,
        progress=row.progress,
        allocation=None if row.allocation is None else Allocation.model_validate(row.allocation),
        node=row.node,
        address=row.address,
        pid=row.pid,
        restarts=row.restarts,
        adopted=row.adopted,
        memory_bytes=row.memory_bytes,
        memory_peak_bytes=row.memory_peak_bytes,
        limits=row.limits or [],
        members=[ReplicaPart.model_validate(part) for part in row.members or []],
        created_at=row.created_at,
        ready_at=row.ready_at,
        ended_at=row.ended_at,
    )


def _stored(row: ReplicaRow) -> StoredReplica:
    return StoredReplica(
        replica=_replica(row),
        service_id=row.service_id,
        project=row.project,
        node_id=row.node_id,
        token=row.token,
        running=row.running,
        fault=row.fault,
        troubled_at=row.troubled_at,
        loading_at=row.loading_at,
        draining_at=row.draining_at,
        group_port=row.group_port,
        moving_to=None if row.moving_to is None else Allocation.model_validate(row.moving_to),
        moving_until=row.moving_until,
    )
