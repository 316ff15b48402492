"""Which route table is current: what draining waits for the gateways to have."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from aicp.store.database import Base, Transaction

_CURRENT = 1


class RouteTableRow(Base):
    """One row: the etag of the newest table, and the replicas it routes to."""

    __tablename__ = "route_tables"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    etag: Mapped[str] = mapped_column(String(64))
    replica_ids: Mapped[list[Any]]
    built_at: Mapped[datetime]


class RouteStates:
    """Queries over the current route table."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def current(self) -> tuple[str, frozenset[str]] | None:
        """(etag, ids of routed replicas) of the newest table; None before the first."""
        row = await self._session.get(RouteTableRow, _CURRENT)
        return None if row is None else (row.etag, frozenset(row.replica_ids))

    async def publish(self, etag: str, replica_ids: Collection[str], now: datetime) -> None:
        """Notes the newest table."""
        row = RouteTableRow(id=_CURRENT, etag=etag, replica_ids=sorted(replica_ids), built_at=now)
        await self._session.merge(row)
        await self._session.flush()
