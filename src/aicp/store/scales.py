"""How many replicas autoscaling wants of a service, why, and how long it took to wake."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.autoscale import ScaleStatus
from aicp.store.database import Base, Transaction

_KEPT_WAKES = 5


class ScaleRow(Base):
    """One service that scales itself. Written by the loop about autoscaling alone."""

    __tablename__ = "service_scales"

    service_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    wanted: Mapped[int]
    min_replicas: Mapped[int]
    max_replicas: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime]
    woken_at: Mapped[datetime | None]
    wakes: Mapped[list[Any]] = mapped_column(default=list)


@dataclass(frozen=True, slots=True)
class Scale:
    """`woken_at` is when it was told to wake, until it has. `wakes` are the seconds of the last wakes, newest last."""

    wanted: int
    min_replicas: int
    max_replicas: int
    reason: str
    changed_at: datetime
    woken_at: datetime | None = None
    wakes: tuple[float, ...] = field(default=())

    def status(self) -> ScaleStatus:
        """What users see of it."""
        return ScaleStatus(
            wanted=self.wanted,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            reason=self.reason,
            changed_at=self.changed_at,
            wake_seconds=max(self.wakes, default=None),
        )


class Scales:
    """Queries over scales."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def all(self, service_ids: Collection[str] | None = None) -> dict[str, Scale]:
        """By service id; of all services, or of those."""
        query = select(ScaleRow)
        if service_ids is not None:
            query = query.where(ScaleRow.service_id.in_(service_ids))
        return {row.service_id: _scale(row) for row in await self._session.scalars(query)}

    async def save(self, service_id: str, scale: Scale) -> None:
        """Replaces what is wanted of a service."""
        kept = list(scale.wakes[-_KEPT_WAKES:])
        await self._session.merge(
            ScaleRow(
                service_id=service_id,
                wanted=scale.wanted,
                min_replicas=scale.min_replicas,
                max_replicas=scale.max_replicas,
                reason=scale.reason,
                changed_at=scale.changed_at,
                woken_at=scale.woken_at,
                wakes=kept,
            )
        )
        await self._session.flush()

    async def forget(self, service_id: str) -> None:
        """The service scales itself no more."""
        await self._session.execute(delete(ScaleRow).where(ScaleRow.service_id == service_id))


def _scale(row: ScaleRow) -> Scale:
    return Scale(
        wanted=row.wanted,
        min_replicas=row.min_replicas,
        max_replicas=row.max_replicas,
        reason=row.reason,
        changed_at=row.changed_at,
        woken_at=row.woken_at,
        wakes=tuple(row.wakes),
    )
