"""Organizations, the owners of projects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.identity import Organization
from aicp.core.ids import new_id
from aicp.core.limits import Limits
from aicp.core.route import ScopeEntry
from aicp.store.database import Base, Transaction
from aicp.store.limits import limits_entry, stored_limits


class OrganizationRow(Base):
    """Its name is its identity: projects refer to it by name."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    limits: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
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

    async def entries(self) -> list[ScopeEntry]:
        """Organizations as gateways need them, by name."""
        rows = await self._session.scalars(select(OrganizationRow).order_by(OrganizationRow.name))
        return [ScopeEntry(row.name, limits_entry(row.limits)) for row in rows]

    async def limit(self, name: str, limits: Limits) -> None:
        """Sets all limits."""
        kept = stored_limits(limits)
        await self._session.execute(update(OrganizationRow).where(OrganizationRow.name == name).values(limits=kept))

    async def create(self, name: str, at: datetime) -> Organization:
        """Adds one."""
        row = OrganizationRow(id=new_id("org"), name=name, limits={}, created_at=at)
        self._session.add(row)
        await self._session.flush()
        return Organization.model_validate(row, from_attributes=True)
