"""A node's model files for the platform's other nodes, over TLS alone: the caller's certificate is what lets it in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse

from aicp.agent.engine_door import CONTROL
from aicp.agent.model_copies import ModelCopies
from aicp.core.errors import UnauthorizedError
from aicp.web.serving import IDENTITY

_NODES = "aicp://node/"


def _require_member(request: Request) -> None:
    identity = request.scope.get(IDENTITY) or ""
    if identity != CONTROL and not identity.startswith(_NODES):
        raise UnauthorizedError("Model files are given to the platform's own nodes.")


def _copies(request: Request) -> ModelCopies:
    return request.app.state.copies


router = APIRouter(prefix="/v1/artifacts", dependencies=[Depends(_require_member)])


@router.get("/{digest}/{path:path}", response_class=FileResponse)
async def get_model_file(digest: str, path: str, copies: Annotated[ModelCopies, Depends(_copies)]) -> FileResponse:
    """A file of a complete copy; `Range` is honoured."""
    return FileResponse(copies.file(digest, path), media_type="application/octet-stream")


def share_copies(app: FastAPI, copies: ModelCopies) -> None:
    """Lets an agent's application give its model files to other nodes."""
    app.state.copies = copies
    app.include_router(router)
