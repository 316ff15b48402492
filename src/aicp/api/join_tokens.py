"""Tokens with which machines join."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.joins import Joins
from aicp.core.identity import Permission
from aicp.core.join import JoinTokenCreate, JoinTokenCreated, JoinTokenPage

router = APIRouter(prefix="/api/v1", tags=["nodes"])
JoinsUse = Annotated[Joins, use_case(Joins)]
_WRITE = [permits(Permission.NODE_WRITE)]


@router.get("/join-tokens", dependencies=_WRITE)
async def list_join_tokens(joins: JoinsUse, caller: CallerDep, offset: Offset = 0, limit: Limit = 100) -> JoinTokenPage:
    """Tokens with which machines join, newest first; their texts are not kept. `address` is where they join."""
    return await joins.tokens(caller, offset=offset, limit=limit)


@router.post("/join-tokens", dependencies=_WRITE, status_code=status.HTTP_201_CREATED)
async def create_join_token(joins: JoinsUse, caller: CallerDep, body: JoinTokenCreate) -> JoinTokenCreated:
    """A token with which machines join; its text is shown this once. 409 while the platform listens for none."""
    return await joins.create_token(caller, body)


@router.delete("/join-tokens/{id}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_join_token(joins: JoinsUse, caller: CallerDep, id: str) -> None:
    """Takes a token away; nodes that joined with it stay."""
    await joins.remove_token(caller, id)
