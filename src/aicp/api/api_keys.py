"""API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.api_keys import ApiKeys
from aicp.core.api_key import ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyRotate, ApiKeyUpdate, KeyState
from aicp.core.identity import Permission
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])
KeysUse = Annotated[ApiKeys, use_case(ApiKeys)]
_READ = [permits(Permission.KEY_READ)]
_WRITE = [permits(Permission.KEY_WRITE)]


@router.get("", dependencies=_READ)
async def list_keys(
    caller: CallerDep,
    keys: KeysUse,
    project: str | None = None,
    model: Annotated[
        str | None, Query(description="keys limited to this public model name, or to it and others")
    ] = None,
    tag: Annotated[str | None, Query(description="keys that have this tag")] = None,
    state: KeyState | None = None,
    search: Search = None,
    sort: Sort = "-created_at",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[ApiKey]:
    """Keys of one project, or of all that the caller may see."""
    return await keys.list(
        caller,
        project=project,
        model=model,
        tag=tag,
        state=state,
        search=search,
        sort=sort,
        offset=offset,
        limit=limit,
    )


@router.post("", dependencies=_WRITE, status_code=status.HTTP_201_CREATED)
async def create_key(body: ApiKeyCreate, caller: CallerDep, keys: KeysUse) -> ApiKeyCreated:
    """Makes a key; its secret is in this answer only."""
    return await keys.create(caller, body)


@router.get("/{key_id}", dependencies=_READ)
async def get_key(key_id: str, caller: CallerDep, keys: KeysUse) -> ApiKey:
    """One key, without its secret."""
    return await keys.get(caller, key_id)


@router.patch("/{key_id}", dependencies=_WRITE)
async def update_key(key_id: str, body: ApiKeyUpdate, caller: CallerDep, keys: KeysUse) -> ApiKey:
    """Changes what is given; `models`, `expires_at`, `limits`, `networks` and so on: null lifts the limit."""
    return await keys.update(caller, key_id, body)


@router.post("/{key_id}/rotate", dependencies=_WRITE)
async def rotate_key(key_id: str, body: ApiKeyRotate, caller: CallerDep, keys: KeysUse) -> ApiKeyCreated:
    """Gives a key another secret, in this answer only; the old one is taken for `overlap_seconds`."""
    return await keys.rotate(caller, key_id, body)


@router.delete("/{key_id}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def revoke_key(key_id: str, caller: CallerDep, keys: KeysUse) -> None:
    """Ends a key for good; gateways refuse it within a second."""
    await keys.revoke(caller, key_id)
