"""The door for the platform's nodes, a listener of its own: machines join here, and nodes fetch what they need.

A caller is who its certificate says. Joining alone goes without one, by a token instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse

from aicp.api.access import bearer_token
from aicp.api.use_cases import use_case
from aicp.artifacts.blobs import Blobs
from aicp.control.joins import Joins
from aicp.core.clock import Clock
from aicp.core.errors import NotFoundError
from aicp.core.join import Joined, JoinRequest, RayPapersAnswer, RayPapersRequest, Renewed, RenewRequest
from aicp.core.node import Node
from aicp.web.errors import install_error_handlers
from aicp.web.middleware import BodyLimit, RequestFrame
from aicp.web.serving import IDENTITY

_MOST_BYTES: Final = 64 * 1024
JoinsUse = Annotated[Joins, use_case(Joins)]
BlobsUse = Annotated[Blobs, use_case(Blobs)]
door = APIRouter(include_in_schema=False)


async def _member(request: Request, joins: JoinsUse) -> Node:
    return await joins.member(request.scope.get(IDENTITY))


@door.post("/join/v1")
async def join(request: Request, joins: JoinsUse, body: JoinRequest | None = None) -> Joined:
    """Makes a machine with a token a node. 401 without one says which authority signs for this platform."""
    return await joins.join(bearer_token(request), body, request.client.host if request.client else "")


@door.post("/join/v1/renew")
async def renew(request: Request, joins: JoinsUse, body: RenewRequest) -> Renewed:
    """A new certificate for a node whose present one holds."""
    return Renewed(certificate=await joins.renew(request.scope.get(IDENTITY), body.request))


@door.post("/join/v1/ray")
async def renew_ray_papers(request: Request, joins: JoinsUse, body: RayPapersRequest) -> RayPapersAnswer:
    """What a member of Ray needs when its authority is another one by now: machines were removed."""
    return RayPapersAnswer(ray=await joins.ray_papers(request.scope.get(IDENTITY), body.authority))


@door.get("/internal/v1/artifacts/{sha256}", response_class=FileResponse, dependencies=[Depends(_member)])
async def get_artifact(sha256: str, blobs: BlobsUse) -> FileResponse:
    """A model file by its digest; `Range` is honoured."""
    if not blobs.exists(sha256):
        raise NotFoundError("There is no such file.")
    return FileResponse(blobs.path(sha256), media_type="application/octet-stream")


def create_door(use_cases: Mapping[type, object], clock: Clock) -> FastAPI:
    """The application of the door; it answers nothing else."""
    app = FastAPI(title="aicp cluster", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.use_cases = use_cases
    install_error_handlers(app)
    app.include_router(door)
    app.add_middleware(BodyLimit, limit_bytes=_MOST_BYTES, streamed=re.compile(r"(?!)"))
    app.add_middleware(RequestFrame, clock=clock)
    return app
