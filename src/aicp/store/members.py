"""Who has which role in which project."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import ForeignKey, String, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.identity import Member, Role
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.sorting import order_by

SORTS = ("user", "role")


class MemberRow(Base):
    """One role a user and project; the role's permissions are code, not data."""

    __tablename__ = "members"

    project: Mapped[str] = mapped_column(ForeignKey("projects.name", ondelete="CASCADE"), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(20))


class Members:
    """Queries over memberships."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def of_project(
        self, project: str, *, search: str | None = None, sort: str = "user", offset: int = 0, limit: int = 100
    ) -> Page[Member]:
        """The members of a project. `sort` is one of SORTS, with `-` for falling order."""
        query = select(MemberRow).where(MemberRow.project == project)
        if search:
            query = query.where(MemberRow.user.icontains(search, autoescape=True))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(*order_by(MemberRow, sort, SORTS)).offset(offset).limit(limit)
        )
        items = [Member(user=row.user, role=Role(row.role)) for row in rows]
        return Page(items=items, total=total or 0, offset=offset, limit=limit)

    async def of_users(self, users: Collection[str]) -> dict[str, dict[str, Role]]:
        """User name -> project name -> role."""
        rows = await self._session.scalars(select(MemberRow).where(MemberRow.user.in_(users)))
        found: dict[str, dict[str, Role]] = defaultdict(dict)
        for row in rows:
            found[row.user][row.project] = Role(row.role)
        return found

    async def role(self, project: str, user: str) -> Role | None:
        """The user's role in the project, if any."""
        row = await self._session.get(MemberRow, (project, user))
        return Role(row.role) if row else None

    async def set(self, project: str, user: str, role: Role) -> None:
        """Gives the role, in the place of an earlier one."""
        await self._session.merge(MemberRow(project=project, user=user, role=role.value))
        await self._session.flush()

    async def remove(self, project: str, user: str) -> None:
        """Takes the role away."""
        await self._session.execute(delete(MemberRow).where(MemberRow.project == project, MemberRow.user == user))
