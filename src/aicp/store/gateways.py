"""What each gateway last said of itself; the only way the reconcile loop learns of requests in flight."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.gateway import GatewayStatus
from aicp.store.database import Base, Transaction

LIVE_SECONDS = 5.0
"""A gateway not heard of for longer does not count."""


class GatewayRow(Base):
    """Overwritten by each heartbeat that says something new, and every 2 s."""

    __tablename__ = "gateways"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    etag: Mapped[str] = mapped_column(String(200))
    inflight: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime | None]
    pid: Mapped[int | None]
    slot: Mapped[int] = mapped_column(default=1)
    version: Mapped[str] = mapped_column(String(40), default="")
    leaving: Mapped[bool] = mapped_column(default=False)
    coordinator: Mapped[str] = mapped_column(String(20), default="")
    listeners: Mapped[dict[str, Any]] = mapped_column(default=dict)
    loads: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seen_at: Mapped[datetime]


class Gateways:
    """Queries over gateways."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def save(self, status: GatewayStatus) -> None:
        """Replaces what is known of a gateway."""
        await self._session.merge(GatewayRow(**status.model_dump()))
        await self._session.flush()

    async def live(self, now: datetime, within_seconds: float = LIVE_SECONDS) -> list[GatewayStatus]:
        """Gateways heard of lately, by id."""
        query = select(GatewayRow).where(GatewayRow.seen_at >= now - timedelta(seconds=within_seconds))
        rows = await self._session.scalars(query.order_by(GatewayRow.id))
        return [GatewayStatus.model_validate(row, from_attributes=True) for row in rows]

    async def forget(self, before: datetime) -> None:
        """Removes gateways not heard of since `before`."""
        await self._session.execute(delete(GatewayRow).where(GatewayRow.seen_at < before))
