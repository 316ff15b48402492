"""The agent's interface: every endpoint is one call."""

from __future__ import annotations

import hmac
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse

from aicp.agent.engine_door import CONTROL
from aicp.agent.engine_environments import EngineEnvironments
from aicp.agent.lease import Lease
from aicp.agent.membership import JoinedNode
from aicp.agent.model_copies import ModelCopies
from aicp.agent.model_files import share_copies
from aicp.agent.node import NodeInventory
from aicp.agent.replicas import Replicas
from aicp.core.errors import ConflictError, InvalidError, UnauthorizedError, UnavailableError
from aicp.core.join import LEASE_HEADER
from aicp.core.launch import ObservedReplica, ReplicaLaunch, ReplicaResize
from aicp.core.node import EnvironmentStatus, NodeStatus
from aicp.web.errors import install_error_handlers
from aicp.web.serving import IDENTITY

_LONGEST_LEASE = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class AgentParts:
    """What the endpoints call."""

    inventory: NodeInventory
    replicas: Replicas
    environments: EngineEnvironments
    copies: ModelCopies
    joined: JoinedNode | None = None
    lease: Lease | None = None


def create_app(parts: AgentParts, token: str) -> FastAPI:
    """The application; every request must carry `token` as bearer, or come from the control plane where callers prove
    who they are."""

    def authenticate(request: Request) -> None:
        if IDENTITY in request.scope:
            if request.scope[IDENTITY] != CONTROL:
                raise UnauthorizedError("The agent obeys the control plane alone.")
            if parts.lease is not None:
                _renew(parts.lease, request)
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise UnauthorizedError("The agent wants the platform's internal token.")

    app = FastAPI(title="aicp agent", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = parts
    app.include_router(router, dependencies=[Depends(authenticate)])
    share_copies(app, parts.copies)
    install_error_handlers(app)
    return app


def _renew(lease: Lease, request: Request) -> None:
    """Each call of the control plane may renew the lease. Raises UnavailableError while none is held."""
    with suppress(ValueError):
        lease.renew(min(float(request.headers.get(LEASE_HEADER, "")), _LONGEST_LEASE))
    if not lease.adopted:
        raise UnavailableError("The agent takes over what runs on its node; it answers in a moment.")
    if not lease.held() and request.method == "PUT":
        raise UnavailableError("The node was cut off, and starts nothing before the next call.")


router = APIRouter(prefix="/v1")


def _parts(request: Request) -> AgentParts:
    return request.app.state.parts


Parts = Annotated[AgentParts, Depends(_parts)]


@router.get("/node")
async def get_node(parts: Parts) -> NodeStatus:
    return await parts.inventory.status()


@router.get("/replicas")
async def list_replicas(parts: Parts) -> list[ObservedReplica]:
    return parts.replicas.observe()


@router.put("/replicas/{replica_id}")
async def start_replica(parts: Parts, replica_id: str, launch: ReplicaLaunch) -> ObservedReplica:
    if launch.replica_id != replica_id:
        raise InvalidError(f"The address names replica {replica_id!r}, the body {launch.replica_id!r}.")
    return parts.replicas.start(launch)


@router.put("/replicas/{replica_id}/allocation")
async def resize_replica(parts: Parts, replica_id: str, wanted: ReplicaResize) -> ObservedReplica:
    if wanted.replica_id != replica_id:
        raise InvalidError(f"The address names replica {replica_id!r}, the body {wanted.replica_id!r}.")
    return await parts.replicas.resize(wanted)


@router.delete("/replicas/{replica_id}", status_code=204)
async def stop_replica(
    parts: Parts,
    replica_id: str,
    generation: int | None = None,
    grace_seconds: Annotated[float, Query(ge=0, le=3600)] = 10.0,
) -> Response:
    parts.replicas.stop(replica_id, generation, grace_seconds)
    return Response(status_code=204)


@router.get("/replicas/{replica_id}/log")
async def read_log(
    parts: Parts, replica_id: str, tail: Annotated[int, Query(ge=0, le=100_000)] = 100, follow: bool = False
) -> StreamingResponse:
    pieces = parts.replicas.log(replica_id, tail=tail, follow=follow)
    return StreamingResponse(pieces, media_type="text/plain; charset=utf-8")


@router.get("/environments")
async def list_environments(parts: Parts) -> list[EnvironmentStatus]:
    return parts.environments.statuses()


@router.put("/environments/{engine}/{version}/{variant}", status_code=202)
async def install_environment(parts: Parts, engine: str, version: str, variant: str) -> EnvironmentStatus:
    return parts.environments.install(engine, version, variant)


@router.delete("/environments/{engine}/{version}/{variant}", status_code=204)
async def remove_environment(parts: Parts, engine: str, version: str, variant: str) -> Response:
    for launch in parts.replicas.launches():
        if launch.environment and (launch.engine, launch.engine_version, launch.variant) == (engine, version, variant):
            raise ConflictError(
                f"{engine} {version} ({variant}) is used by a running replica.",
                hint="Stop the services that use it, then remove it.",
            )
    await parts.environments.remove(engine, version, variant)
    return Response(status_code=204)


@router.get("/models")
async def list_models(parts: Parts) -> list[str]:
    return parts.copies.digests()


@router.delete("/models/{digest}", status_code=204)
async def remove_model(parts: Parts, digest: str) -> Response:
    if any(launch.model_digest == digest for launch in parts.replicas.launches()):
        raise ConflictError("A running replica uses this model copy.", hint="Stop it, then remove the copy.")
    await parts.copies.remove(digest)
    return Response(status_code=204)
