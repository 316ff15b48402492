"""Listeners of public model names."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.listener import Listener
from aicp.core.route import ListenerEntry
from aicp.store.database import Base, Transaction


class ListenerRow(Base):
    """One a model; a port is one listener's, whatever its address."""

    __tablename__ = "listeners"

    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    address: Mapped[str] = mapped_column(String(45))
    port: Mapped[int] = mapped_column(unique=True)
    tls_certificate: Mapped[str | None] = mapped_column(Text)
    tls_key: Mapped[str | None] = mapped_column(Text)
    set_at: Mapped[datetime]
    set_by: Mapped[str | None] = mapped_column(String(63))


class Listeners:
    """Queries over listeners."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, model: str) -> Listener | None:
        """The listener of a model, if it has one."""
        row = await self._session.get(ListenerRow, model)
        return _value(row) if row else None

    async def all(self) -> list[Listener]:
        """By port."""
        return [_value(row) for row in await self._session.scalars(select(ListenerRow).order_by(ListenerRow.port))]

    async def entries(self) -> list[ListenerEntry]:
        """Listeners as gateways need them, by port."""
        return [
            ListenerEntry(one.model, one.address, one.port, one.tls_certificate, one.tls_key)
            for one in await self.all()
        ]

    async def set(self, listener: Listener) -> None:
        """Puts a listener in the place of the one before."""
        await self._session.merge(ListenerRow(**listener.model_dump(exclude={"state", "reason"})))
        await self._session.flush()

    async def delete(self, model: str) -> None:
        """Takes a listener away."""
        await self._session.execute(delete(ListenerRow).where(ListenerRow.model == model))


def _value(row: ListenerRow) -> Listener:
    return Listener.model_validate(row, from_attributes=True)
