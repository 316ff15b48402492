"""People and programs that log in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, cast, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.identity import Role, User
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.members import Members
from aicp.store.sorting import order_by

SORTS = ("name", "email", "created_at", "last_login_at")


class UserRow(Base):
    """Its name is its identity and never changes. The password hash never leaves the store but to be checked."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    email: Mapped[str | None] = mapped_column(String(320))
    password_hash: Mapped[str] = mapped_column(String(200))
    platform_roles: Mapped[list[Any]] = mapped_column(default=list)
    language: Mapped[str | None] = mapped_column(String(10))
    disabled: Mapped[bool] = mapped_column(default=False)
    must_change_password: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None]


class Users:
    """Queries over users."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session
        self._members = Members(tx)

    async def find(self, name: str) -> User | None:
        """The user with the roles, if there is one."""
        row = await self._session.scalar(select(UserRow).where(UserRow.name == name))
        return (await self._values([row]))[0] if row else None

    async def password_hash(self, name: str) -> str | None:
        """The stored hash; None when there is no such user."""
        return await self._session.scalar(select(UserRow.password_hash).where(UserRow.name == name))

    async def list(
        self,
        *,
        search: str | None = None,
        disabled: bool | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[User]:
        """`search` looks at names and e-mail addresses; `sort` is one of SORTS, with `-` for falling order."""
        query = select(UserRow)
        if search:
            query = query.where(
                UserRow.name.icontains(search, autoescape=True) | UserRow.email.icontains(search, autoescape=True)
            )
        if disabled is not None:
            query = query.where(UserRow.disabled.is_(disabled))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(*order_by(UserRow, sort, SORTS)).offset(offset).limit(limit))
        return Page(items=await self._values(rows.all()), total=total or 0, offset=offset, limit=limit)

    async def any_exists(self) -> bool:
        """Whether the platform has users at all (False only before its first start)."""
        return await self._session.scalar(select(UserRow.id).limit(1)) is not None

    async def active_with_platform_role(self, role: Role) -> list[str]:
        """Names of users who may log in and have the platform-wide `role`."""
        rows = await self._session.scalars(select(UserRow).where(UserRow.disabled.is_(False)).order_by(UserRow.name))
        return [row.name for row in rows if role.value in row.platform_roles]

    async def create(self, user: User, password_hash: str) -> None:
        """Adds a user; memberships are added through Members."""
        values = user.model_dump(mode="python", exclude={"projects", "platform_roles"})
        roles = [role.value for role in user.platform_roles]
        self._session.add(UserRow(**values, platform_roles=roles, password_hash=password_hash))
        await self._session.flush()

    async def update(self, name: str, changes: Mapping[str, Any]) -> None:
        """Sets columns by name; roles as Role values."""
        values = dict(changes)
        if "platform_roles" in values:
            values["platform_roles"] = [Role(role).value for role in values["platform_roles"]]
        if values.keys() & {"platform_roles", "disabled"}:
            await self._lock_admins()
        if values:
            await self._session.execute(update(UserRow).where(UserRow.name == name).values(**values))

    async def delete(self, name: str) -> None:
        """Removes the user with sessions and memberships; what the user made stays."""
        await self._lock_admins()
        await self._session.execute(delete(UserRow).where(UserRow.name == name))

    async def _lock_admins(self) -> None:
        """Makes whoever else takes an admin away wait: two at once would each count the other's as remaining.

        Taken before the change and in one order, so that two never wait for each other. SQLite has one writer anyway.
        """
        admins = cast(UserRow.platform_roles, Text).contains(f'"{Role.PLATFORM_ADMIN.value}"', autoescape=True)
        query = select(UserRow.id).where(UserRow.disabled.is_(False), admins).order_by(UserRow.id)
        # Not the key: logging in, which refers to it, need not wait.
        await self._session.execute(query.with_for_update(key_share=True))

    async def _values(self, rows: Sequence[UserRow]) -> list[User]:
        memberships = await self._members.of_users([row.name for row in rows])
        return [
            User.model_validate(row, from_attributes=True).model_copy(
                update={"projects": memberships.get(row.name, {})}
            )
            for row in rows
        ]
