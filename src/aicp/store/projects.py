"""Projects, the units of ownership."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.identity import Project
from aicp.core.ids import new_id
from aicp.core.limits import Limits
from aicp.core.route import ScopeEntry
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.limits import limits_entry, stored_limits
from aicp.store.sorting import order_by

SORTS = ("name", "organization", "created_at")


class ProjectRow(Base):
    """Its name is its identity and never changes: everything refers to a project by name."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    organization: Mapped[str] = mapped_column(ForeignKey("organizations.name"))
    description: Mapped[str] = mapped_column(Text, default="")
    limits: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime]


class Projects:
    """Queries over projects."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, name: str) -> Project | None:
        """The project, if it exists."""
        row = await self._session.scalar(select(ProjectRow).where(ProjectRow.name == name))
        return _value(row) if row else None

    async def list(
        self,
        *,
        names: Collection[str] | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Project]:
        """`names` limits to these projects (None: all). `sort` is one of SORTS, with `-` for falling order."""
        query = select(ProjectRow)
        if names is not None:
            query = query.where(ProjectRow.name.in_(names))
        if search:
            query = query.where(
                ProjectRow.name.icontains(search, autoescape=True)
                | ProjectRow.description.icontains(search, autoescape=True)
            )
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(*order_by(ProjectRow, sort, SORTS)).offset(offset).limit(limit)
        )
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def missing(self, names: Collection[str]) -> set[str]:
        """Those of `names` that are no projects."""
        found = await self._session.scalars(select(ProjectRow.name).where(ProjectRow.name.in_(names)))
        return set(names) - set(found)

    async def entries(self) -> list[ScopeEntry]:
        """Projects as gateways need them, by name."""
        rows = await self._session.scalars(select(ProjectRow).order_by(ProjectRow.name))
        return [ScopeEntry(row.name, limits_entry(row.limits), row.organization) for row in rows]

    async def create(
        self, name: str, organization: str, description: str, at: datetime, limits: Limits | None = None
    ) -> Project:
        """Adds one."""
        row = ProjectRow(
            id=new_id("prj"),
            name=name,
            organization=organization,
            description=description,
            limits=stored_limits(limits or Limits()),
            created_at=at,
        )
        self._session.add(row)
        await self._session.flush()
        return _value(row)

    async def describe(self, name: str, description: str) -> None:
        """Sets the description."""
        await self._session.execute(update(ProjectRow).where(ProjectRow.name == name).values(description=description))

    async def limit(self, name: str, limits: Limits) -> None:
        """Sets all limits."""
        kept = stored_limits(limits)
        await self._session.execute(update(ProjectRow).where(ProjectRow.name == name).values(limits=kept))

    async def delete(self, name: str) -> None:
        """Removes the project and its memberships."""
        await self._session.execute(delete(ProjectRow).where(ProjectRow.name == name))


def _value(row: ProjectRow) -> Project:
    return Project.model_validate(row, from_attributes=True)
