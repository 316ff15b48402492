"""Accelerators that only one project may have for a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import NotFoundError
from aicp.scheduler.reservations import Reservation
from aicp.store.database import Base, Transaction


class ReservationRow(Base):
    """One reservation: `devices` are (node, vendor, device)."""

    __tablename__ = "reservations"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    pool: Mapped[str] = mapped_column(String(63))
    project: Mapped[str] = mapped_column(String(63))
    note: Mapped[str] = mapped_column(Text, default="")
    devices: Mapped[list[Any]] = mapped_column(default=list)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(63))
    created_at: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class StoredReservation:
    """A reservation with the accelerators that were chosen for it."""

    id: str
    pool: str
    project: str
    devices: tuple[tuple[str, str, str], ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    created_at: datetime
    note: str = ""

    def overlaps(self, starts_at: datetime, ends_at: datetime) -> bool:
        """Whether it holds at some time of a window."""
        return self.starts_at < ends_at and starts_at < self.ends_at


class Reservations:
    """Queries over reservations."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def add(self, item: StoredReservation) -> None:
        """Keeps a new one."""
        self._session.add(
            ReservationRow(
                id=item.id,
                pool=item.pool,
                project=item.project,
                note=item.note,
                devices=[list(device) for device in item.devices],
                starts_at=item.starts_at,
                ends_at=item.ends_at,
                created_by=item.created_by,
                created_at=item.created_at,
            )
        )
        await self._session.flush()

    async def list(self, now: datetime) -> list[StoredReservation]:
        """Those that have not ended, by their start."""
        query = select(ReservationRow).where(ReservationRow.ends_at > now)
        rows = await self._session.scalars(query.order_by(ReservationRow.starts_at, ReservationRow.id))
        return [_stored(row) for row in rows]

    async def get(self, reservation_id: str) -> StoredReservation:
        """One of them. Raises NotFoundError."""
        row = await self._session.get(ReservationRow, reservation_id)
        if row is None:
            raise NotFoundError(
                f"There is no reservation {reservation_id!r}.", hint="`aicp reservation ls` shows those there are."
            )
        return _stored(row)

    async def remove(self, reservation_id: str) -> None:
        """Takes one away."""
        await self._session.execute(delete(ReservationRow).where(ReservationRow.id == reservation_id))

    async def forget(self, ended_before: datetime) -> None:
        """Removes those that ended before."""
        await self._session.execute(delete(ReservationRow).where(ReservationRow.ends_at < ended_before))


def _stored(row: ReservationRow) -> StoredReservation:
    return StoredReservation(
        id=row.id,
        pool=row.pool,
        project=row.project,
        note=row.note,
        devices=tuple((node, vendor, device) for node, vendor, device in row.devices),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def for_scheduler(stored: Iterable[StoredReservation]) -> list[Reservation]:
    """As the scheduler sees them: one for each node on which there are accelerators."""
    found: list[Reservation] = []
    for item in stored:
        for node in sorted({node for node, _, _ in item.devices}):
            devices = frozenset(device for where, _, device in item.devices if where == node)
            found.append(Reservation(item.project, node, item.starts_at, item.ends_at, devices))
    return found


def reserved_devices(stored: Iterable[StoredReservation], now: datetime) -> dict[tuple[str, str, str], str]:
    """The project for which each accelerator (node, vendor, device) is kept now."""
    found: dict[tuple[str, str, str], str] = {}
    for item in stored:
        if item.starts_at <= now < item.ends_at:
            for device in item.devices:
                found.setdefault(device, item.project)
    return found
