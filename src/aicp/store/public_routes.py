"""Routes that users made: public names with destinations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, Text, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.public_route import Route
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.sorting import order_by

SORTS = ("name", "project", "created_at")


class PublicRouteRow(Base):
    """Its name is its identity and what clients ask for."""

    __tablename__ = "public_routes"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    project: Mapped[str] = mapped_column(String(63), index=True)
    visibility: Mapped[str] = mapped_column(String(10))
    description: Mapped[str] = mapped_column(Text, default="")
    arms: Mapped[list[Any]] = mapped_column(JSON)
    fallbacks: Mapped[list[Any]] = mapped_column(JSON)
    sticky: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class PublicRoutes:
    """Queries over routes."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, name: str) -> Route | None:
        """The route, if it exists."""
        row = await self._session.scalar(select(PublicRouteRow).where(PublicRouteRow.name == name))
        return _value(row) if row else None

    async def all(self) -> list[Route]:
        """All, by name."""
        rows = await self._session.scalars(select(PublicRouteRow).order_by(PublicRouteRow.name))
        return [_value(row) for row in rows]

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        project: str | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Route]:
        """Public ones and those of `projects` (None: all); `sort` is one of SORTS, with `-` for falling order."""
        query = select(PublicRouteRow)
        if projects is not None:
            query = query.where(PublicRouteRow.project.in_(projects) | (PublicRouteRow.visibility == "public"))
        if project is not None:
            query = query.where(PublicRouteRow.project == project)
        if search:
            query = query.where(
                PublicRouteRow.name.icontains(search, autoescape=True)
                | PublicRouteRow.description.icontains(search, autoescape=True)
            )
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(*order_by(PublicRouteRow, sort, SORTS)).offset(offset).limit(limit)
        )
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def create(self, route: Route) -> None:
        """Adds one."""
        fields = route.model_dump(mode="json", exclude={"ready", "created_at", "updated_at"})
        self._session.add(PublicRouteRow(**fields, created_at=route.created_at, updated_at=route.updated_at))
        await self._session.flush()

    async def update(self, name: str, changes: Mapping[str, Any], now: datetime) -> None:
        """Sets columns."""
        await self._session.execute(
            update(PublicRouteRow).where(PublicRouteRow.name == name).values(**changes, updated_at=now)
        )

    async def delete(self, name: str) -> None:
        """Forgets one."""
        await self._session.execute(delete(PublicRouteRow).where(PublicRouteRow.name == name))


def _value(row: PublicRouteRow) -> Route:
    return Route.model_validate(row, from_attributes=True)
