"""People and programs that log in: made, changed and removed by admins."""

from __future__ import annotations

from typing import Any

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import PLATFORM_ROLES, Permission, Role, User, UserCreate, UserCreated, UserUpdate
from aicp.core.ids import new_id
from aicp.core.value import Page
from aicp.security.passwords import Passwords, make_password
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.members import Members
from aicp.store.projects import Projects
from aicp.store.sessions import Sessions
from aicp.store.users import Users as StoredUsers


class Users:
    """Users of the platform."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, passwords: Passwords) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._passwords = passwords

    async def list(
        self,
        caller: Caller,
        *,
        search: str | None = None,
        disabled: bool | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[User]:
        """All users. A project admin sees who there is, and of their roles only those in the own projects."""
        caller.require(Permission.USER_READ)
        async with self._database.snapshot() as tx:
            page = await StoredUsers(tx).list(search=search, disabled=disabled, sort=sort, offset=offset, limit=limit)
        return page.model_copy(update={"items": [_shown(user, caller) for user in page.items]})

    async def get(self, caller: Caller, name: str) -> User:
        """One user. Raises NotFoundError."""
        caller.require(Permission.USER_READ)
        async with self._database.snapshot() as tx:
            return _shown(await _get(tx, name), caller)

    async def create(self, caller: Caller, wanted: UserCreate) -> UserCreated:
        """Adds a user. A password that the platform makes is in this answer only and must be changed at first login."""
        caller.require_everywhere(Permission.USER_WRITE)
        _check_roles(wanted.platform_roles, wanted.projects)
        made = None if wanted.password else make_password()
        password_hash = await self._passwords.hash(wanted.password or made or "")
        user = User(
            id=new_id("usr"),
            name=wanted.name,
            email=wanted.email,
            platform_roles=wanted.platform_roles,
            projects=wanted.projects,
            must_change_password=made is not None,
            created_at=self._clock.now(),
        )
        async with self._database.transaction() as tx:
            if await StoredUsers(tx).find(wanted.name):
                raise ConflictError(
                    f"There is a user {wanted.name!r} already.",
                    hint="Choose another name.",
                    details={"fields": {"name": "taken"}},
                )
            missing = await Projects(tx).missing(wanted.projects)
            if missing:
                raise InvalidError(f"There is no project {', '.join(sorted(missing))}.")
            await StoredUsers(tx).create(user, password_hash)
            for project, role in wanted.projects.items():
                await Members(tx).set(project, user.name, role)
            details = user.model_dump(mode="json", include={"email", "platform_roles", "projects"})
            await self._audit(tx, caller, "user.create", user.name, details)
        self._bell.ring("user", user.name)
        return UserCreated(user=user, password=made)

    async def update(self, caller: Caller, name: str, wanted: UserUpdate) -> User:
        """Changes what is given. New roles, a new password or disabling end the user's sessions."""
        caller.require_everywhere(Permission.USER_WRITE)
        _check_roles(wanted.platform_roles or [], {})
        changes: dict[str, Any] = wanted.model_dump(exclude_unset=True, exclude={"password"})
        for field in ("platform_roles", "disabled"):
            if changes.get(field, ...) is None:
                del changes[field]
        if wanted.password:
            changes |= {
                "password_hash": await self._passwords.hash(wanted.password),
                "must_change_password": name != caller.user,
            }
        async with self._database.transaction() as tx:
            before = await _get(tx, name)
            await StoredUsers(tx).update(name, changes)
            await _require_an_admin(tx, before)
            user = await _get(tx, name)
            if wanted.password or user.disabled or set(user.platform_roles) != set(before.platform_roles):
                await Sessions(tx).end_all(name)
            if changes.get("disabled"):
                await ApiKeys(tx).revoke_playground(self._clock.now(), name)
            details = difference(before.model_dump(mode="json"), user.model_dump(mode="json"))
            message = "New password." if wanted.password else ""
            await self._audit(tx, caller, "user.update", name, details, message)
        self._bell.ring("user", name)
        self._bell.ring("key")
        return user

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes a user with sessions and memberships; keys and services that the user made stay."""
        caller.require_everywhere(Permission.USER_WRITE)
        if name == caller.user:
            raise ConflictError("You cannot remove yourself.", hint="Let another platform admin do it.")
        async with self._database.transaction() as tx:
            user = await _get(tx, name)
            await ApiKeys(tx).revoke_playground(self._clock.now(), name)
            await StoredUsers(tx).delete(name)
            await _require_an_admin(tx, user)
            await self._audit(tx, caller, "user.delete", name, {})
        self._bell.ring("user", name)
        self._bell.ring("key")

    async def _audit(
        self, tx: Transaction, caller: Caller, action: str, name: str, details: dict[str, Any], message: str = ""
    ) -> None:
        await Events(tx).audit(caller, self._clock.now(), action, "user", name, message=message, details=details)


def _shown(user: User, caller: Caller) -> User:
    visible = caller.visible_projects(Permission.USER_READ)
    if visible is None or user.name == caller.user:
        return user
    projects = {name: role for name, role in user.projects.items() if name in visible}
    return user.model_copy(update={"projects": projects, "platform_roles": [], "email": None, "last_login_at": None})


def _check_roles(platform: list[Role], projects: dict[str, Role]) -> None:
    for role in platform:
        if role not in PLATFORM_ROLES:
            raise InvalidError(f"{role.value} is a role in a project.", hint="Give it for a project.")
    for role in projects.values():
        check_project_role(role)


def check_project_role(role: Role) -> None:
    """Raises InvalidError for a role that holds platform-wide."""
    if role in PLATFORM_ROLES:
        raise InvalidError(
            f"{role.value} holds for the whole platform, not in a project.",
            hint="In a project: project-admin, developer or viewer.",
        )


async def _get(tx: Transaction, name: str) -> User:
    user = await StoredUsers(tx).find(name)
    if user is None:
        raise NotFoundError(f"User {name!r} does not exist.")
    return user


async def _require_an_admin(tx: Transaction, before: User) -> None:
    if Role.PLATFORM_ADMIN not in before.platform_roles:
        return
    if not await StoredUsers(tx).active_with_platform_role(Role.PLATFORM_ADMIN):
        raise ConflictError(
            f"{before.name!r} is the last platform admin.", hint="Make another user platform admin first."
        )
