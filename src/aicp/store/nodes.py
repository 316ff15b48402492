"""Nodes as their agents report them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, Text, func, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import NotFoundError
from aicp.core.node import Node, NodeState, NodeStatus, Taint
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.sorting import order_by

SORTS = ("name", "pool", "seen_at", "created_at")


class NodeRow(Base):
    """A machine. `lost`, `reason`, `seen_at` and `status` are written by the reconcile loop, the others are intent."""

    __tablename__ = "nodes"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    pool: Mapped[str] = mapped_column(String(63), index=True)
    address: Mapped[str] = mapped_column(Text, default="")
    cordoned: Mapped[bool] = mapped_column(default=False)
    draining: Mapped[bool] = mapped_column(default=False)
    lost: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    taints: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime | None]
    status: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Nodes:
    """Queries over nodes."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, node_id: str) -> Node | None:
        """The node with this id, or with this name."""
        row = await self._session.get(NodeRow, node_id)
        if row is None:
            row = await self._session.scalar(select(NodeRow).where(NodeRow.name == node_id).limit(1))
        return None if row is None else _node(row)

    async def get(self, node_id: str) -> Node:
        """The node with this id or name. Raises NotFoundError."""
        node = await self.find(node_id)
        if node is None:
            raise NotFoundError(f"There is no node {node_id!r}.", hint="`aicp node list` shows those that registered.")
        return node

    async def all(self, pool: str | None = None) -> list[Node]:
        """Every node, by name."""
        query = select(NodeRow).order_by(NodeRow.name, NodeRow.id)
        if pool is not None:
            query = query.where(NodeRow.pool == pool)
        return [_node(row) for row in await self._session.scalars(query)]

    async def list(
        self,
        *,
        pool: str | None = None,
        state: NodeState | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Node]:
        """One page; `sort` is one of SORTS, with `-` for falling order."""
        query = select(NodeRow)
        if pool is not None:
            query = query.where(NodeRow.pool == pool)
        if search:
            query = query.where(NodeRow.name.icontains(search, autoescape=True))
        if state is not None:
            query = query.where(NodeRow.lost.is_(state is NodeState.LOST))
            if state is not NodeState.LOST:
                query = query.where(NodeRow.cordoned.is_(state is NodeState.CORDONED))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(*order_by(NodeRow, sort, SORTS)).offset(offset).limit(limit))
        return Page(items=[_node(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def join(
        self, node_id: str, name: str, address: str, now: datetime, *, pool: str, labels: Mapping[str, str]
    ) -> None:
        """Adds a node that joins by `address`, or gives one that joins again its new address and labels."""
        row = await self._session.get(NodeRow, node_id)
        if row is None:
            row = _new_row(node_id, pool, now)
            self._session.add(row)
        row.name, row.address, row.labels = name, address, {**row.labels, **labels}
        row.lost, row.seen_at = False, now
        await self._session.flush()

    async def seen(self, status: NodeStatus, now: datetime, *, pool: str, new: bool = True) -> NodeState | None:
        """Keeps what an agent reports; answers the state before, None for a node that is new, where it may be `new`."""
        row = await self._session.get(NodeRow, status.node_id)
        before = None if row is None else _node(row).state
        if row is None and not new:
            return NodeState.READY  # it was removed while it answered: no news
        if row is None:
            row = _new_row(status.node_id, pool, now)
            self._session.add(row)
        row.name = status.hostname
        row.lost, row.seen_at = False, now
        if not row.cordoned:
            row.reason = None
        row.status = status.model_dump(mode="json")
        await self._session.flush()
        return before

    async def mark_lost(self, node_id: str, reason: str) -> bool:
        """Notes that the agent is silent; False when that was known."""
        row = await self._session.get(NodeRow, node_id)
        if row is None or row.lost:
            return False
        row.lost, row.reason = True, reason
        await self._session.flush()
        return True

    async def cordon(self, node_id: str, cordoned: bool, reason: str | None, *, draining: bool = False) -> None:
        """Keeps new replicas off a node, or lets them on again; `draining` moves those on it elsewhere."""
        row = await self._row(node_id)
        row.cordoned, row.draining = cordoned, cordoned and draining
        if not row.lost:
            row.reason = reason if cordoned else None
        await self._session.flush()

    async def change(
        self,
        node_id: str,
        *,
        pool: str | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Iterable[Taint] | None = None,
    ) -> None:
        """Changes what is given. Raises NotFoundError."""
        row = await self._row(node_id)
        if pool is not None:
            row.pool = pool
        if labels is not None:
            row.labels = dict(labels)
        if taints is not None:
            row.taints = [item.model_dump(mode="json") for item in taints]
        await self._session.flush()

    async def remove(self, node_id: str) -> None:
        """Forgets a node. Raises NotFoundError."""
        await self._session.delete(await self._row(node_id))
        await self._session.flush()

    async def _row(self, node_id: str) -> NodeRow:
        row = await self._session.get(NodeRow, node_id)
        if row is None:
            raise NotFoundError(f"There is no node {node_id!r}.")
        return row


def _new_row(node_id: str, pool: str, now: datetime) -> NodeRow:
    row = NodeRow(id=node_id, pool=pool, created_at=now, cordoned=False, lost=False, address="")
    row.draining, row.labels, row.taints = False, {}, []
    return row


def _node(row: NodeRow) -> Node:
    state = NodeState.LOST if row.lost else NodeState.CORDONED if row.cordoned else NodeState.READY
    return Node(
        id=row.id,
        name=row.name,
        pool=row.pool,
        state=state,
        reason=row.reason,
        draining=row.draining,
        labels=row.labels,
        taints=[Taint.model_validate(item) for item in row.taints],
        address=row.address,
        created_at=row.created_at,
        seen_at=row.seen_at,
        status=None if row.status is None else NodeStatus.model_validate(row.status),
    )
