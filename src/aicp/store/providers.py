"""Outside providers. Their credentials are kept sealed; what opens them is not in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, String, Text, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.provider import Provider
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.sorting import order_by

SORTS = ("name", "base_url", "created_at")


class ProviderRow(Base):
    """Its name is its identity and never changes: routes refer to a provider by name."""

    __tablename__ = "providers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    base_url: Mapped[str] = mapped_column(Text)
    models: Mapped[list[Any]]
    endpoints: Mapped[list[Any]]
    credential: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Providers:
    """Queries over providers."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, name: str) -> Provider | None:
        """The provider, if it exists."""
        row = await self._session.scalar(select(ProviderRow).where(ProviderRow.name == name))
        return _value(row) if row else None

    async def list(
        self, *, search: str | None = None, sort: str = "name", offset: int = 0, limit: int = 100
    ) -> Page[Provider]:
        """`sort` is one of SORTS, with `-` for falling order."""
        query = select(ProviderRow)
        if search:
            places = (ProviderRow.name, ProviderRow.description, ProviderRow.base_url)
            found = [place.icontains(search, autoescape=True) for place in places]
            query = query.where(found[0] | found[1] | found[2])
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(*order_by(ProviderRow, sort, SORTS)).offset(offset).limit(limit)
        )
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def sealed(self) -> list[tuple[Provider, bytes | None]]:
        """All, each with its sealed credential."""
        rows = await self._session.scalars(select(ProviderRow).order_by(ProviderRow.name))
        return [(_value(row), row.credential) for row in rows]

    async def create(self, provider: Provider, credential: bytes | None) -> None:
        """Adds one; `credential` is sealed."""
        fields = provider.model_dump(
            mode="json", include={"id", "name", "description", "base_url", "models", "endpoints"}
        )
        row = ProviderRow(
            **fields, credential=credential, created_at=provider.created_at, updated_at=provider.updated_at
        )
        self._session.add(row)
        await self._session.flush()

    async def update(self, name: str, changes: Mapping[str, Any], now: datetime) -> None:
        """Sets columns."""
        await self._session.execute(
            update(ProviderRow).where(ProviderRow.name == name).values(**changes, updated_at=now)
        )

    async def delete(self, name: str) -> None:
        """Forgets one with its credential."""
        await self._session.execute(delete(ProviderRow).where(ProviderRow.name == name))


def _value(row: ProviderRow) -> Provider:
    return Provider(
        id=row.id,
        name=row.name,
        description=row.description,
        base_url=row.base_url,
        models=row.models,
        endpoints=row.endpoints,
        has_credential=row.credential is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
