"""Organizations, the owners of projects."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.identity import Organization
from aicp.core.ids import new_id
from aicp.store.database import Base, Transaction


class OrganizationRow(Base):
    """Its name is its identity: projects refer to it by name."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    created_at: Mapped[datetime]


class Organizations:
    """Queries over organizations."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, name: str) -> Organization | None:
        """The organization, if it exists."""
        row = await self._session.scalar(select(OrganizationRow).where(OrganizationRow.name == name))
        return Organization.model_validate(row, from_attributes=True) if row else None

    async def list(self) -> list[Organization]:
        """All, by name."""
        rows = await self._session.scalars(select(OrganizationRow).order_by(OrganizationRow.name))
        return [Organization.model_validate(row, from_attributes=True) for row in rows]

    async def create(self, name: str, at: datetime) -> Organization:
        """Adds one."""
        row = OrganizationRow(id=new_id("org"), name=name, created_at=at)
        self._session.add(row)
        await self._session.flush()
        return Organization.model_validate(row, from_attributes=True)
