"""What changes, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse

from aicp.api.access import CallerDep, authenticate
from aicp.api.use_cases import use_case
from aicp.control.changes import Changes
from aicp.core.value import Value

router = APIRouter(prefix="/api/v1", tags=["events"])
ChangesUse = Annotated[Changes, use_case(Changes)]


class ChangeNotice(Value):
    """Something of `kind` changed; `name` is empty where the caller may not see whose it is."""

    kind: str
    name: str = ""


@router.get("/changes", response_class=EventSourceResponse)
async def stream_changes(request: Request, _: CallerDep, changes: ChangesUse) -> AsyncIterator[ChangeNotice]:
    """Server-sent events: what changed that the caller may see, with a comment every 15 s to keep the line open."""
    async for change in changes.stream(lambda: authenticate(request)):
        yield ChangeNotice(kind=change.kind, name=change.name)
