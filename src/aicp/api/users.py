"""Users."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.users import Users
from aicp.core.identity import Permission, User, UserCreate, UserCreated, UserUpdate
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/users", tags=["users"])
UsersUse = Annotated[Users, use_case(Users)]
_READ = [permits(Permission.USER_READ)]
_WRITE = [permits(Permission.USER_WRITE)]


@router.get("", dependencies=_READ)
async def list_users(
    caller: CallerDep,
    users: UsersUse,
    search: Search = None,
    disabled: bool | None = None,
    sort: Sort = "name",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[User]:
    """All users."""
    return await users.list(caller, search=search, disabled=disabled, sort=sort, offset=offset, limit=limit)


@router.post("", dependencies=_WRITE, status_code=status.HTTP_201_CREATED)
async def create_user(body: UserCreate, caller: CallerDep, users: UsersUse) -> UserCreated:
    """Adds a user; without a password one is made and shown in this answer only."""
    return await users.create(caller, body)


@router.get("/{name}", dependencies=_READ)
async def get_user(name: str, caller: CallerDep, users: UsersUse) -> User:
    """One user."""
    return await users.get(caller, name)


@router.patch("/{name}", dependencies=_WRITE)
async def update_user(name: str, body: UserUpdate, caller: CallerDep, users: UsersUse) -> User:
    """Changes what is given."""
    return await users.update(caller, name, body)


@router.delete("/{name}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_user(name: str, caller: CallerDep, users: UsersUse) -> None:
    """Removes a user; what the user made stays."""
    await users.delete(caller, name)
