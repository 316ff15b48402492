"""Published models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, status
from fastapi import Request as HttpRequest
from fastapi.responses import PlainTextResponse, StreamingResponse

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search
from aicp.api.use_cases import use_case
from aicp.control.logs import Logs
from aicp.control.services import Services
from aicp.core.identity import Permission
from aicp.core.replica import Replica
from aicp.core.service import (
    Mode,
    Plan,
    Published,
    Service,
    ServiceCreate,
    ServiceRevision,
    ServiceState,
    ServiceUpdate,
)
from aicp.core.value import Page, Request

router = APIRouter(prefix="/api/v1", tags=["services"])
ServicesUse = Annotated[Services, use_case(Services)]
LogsUse = Annotated[Logs, use_case(Logs)]
READ, WRITE = [permits(Permission.SERVICE_READ)], [permits(Permission.SERVICE_WRITE)]
LOGS = [permits(Permission.LOG_READ)]
_SORTS = "^-?(name|state|model|replicas|created_at|updated_at|requests|tokens|ttft)$"
Tail = Annotated[int, Query(ge=0, le=1_000_000, description="lines from the end")]
Follow = Annotated[bool, Query(description="go on with what is added")]
Member = Annotated[int, Query(ge=0, le=63, description="of a replica that spans nodes; 0 leads")]


def _rest_url(request: HttpRequest) -> str:
    return str(request.base_url).rstrip("/")


RestUrl = Annotated[str, Depends(_rest_url)]
"""Where the caller reached this API."""


class Rollback(Request):
    """Where to go back to; by default the revision before."""

    generation: int | None = None


@router.get("/services", dependencies=READ)
async def list_services(
    services: ServicesUse,
    caller: CallerDep,
    project: str | None = None,
    state: ServiceState | None = None,
    mode: Mode | None = None,
    search: Search = None,
    sort: Annotated[str, Query(pattern=_SORTS, description="`-` before it: falling")] = "name",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Service]:
    """Services: public ones and those of the caller's projects, with their traffic of the last minutes."""
    return await services.list(
        caller, project=project, state=state, mode=mode, search=search, sort=sort, offset=offset, limit=limit
    )


@router.post("/services", status_code=status.HTTP_201_CREATED, dependencies=WRITE)
async def create_service(services: ServicesUse, caller: CallerDep, body: ServiceCreate) -> Published:
    """Publishes a model; everything not given is chosen and explained. 422 with the numbers when it does not fit."""
    return await services.publish(caller, body)


@router.post("/services/plan", dependencies=READ)
async def plan_service(services: ServicesUse, caller: CallerDep, rest_url: RestUrl, body: ServiceCreate) -> Plan:
    """What publishing would run, and why, and the publish as command, request and YAML; changes nothing."""
    return await services.plan(caller, body, rest_url=rest_url)


@router.get("/services/{name}", dependencies=READ)
async def get_service(services: ServicesUse, caller: CallerDep, name: str) -> Service:
    """One service with its state and reason."""
    return await services.get(caller, name)


@router.post("/services/{name}/plan", dependencies=READ)
async def plan_service_change(
    services: ServicesUse, caller: CallerDep, rest_url: RestUrl, name: str, body: ServiceUpdate
) -> Plan:
    """What an update would run, and why, and the update as command, request and YAML; changes nothing."""
    return await services.plan_change(caller, name, body, rest_url=rest_url)


@router.patch("/services/{name}", dependencies=WRITE)
async def update_service(services: ServicesUse, caller: CallerDep, name: str, body: ServiceUpdate) -> Service:
    """A new revision as a rolling change, another number of replicas, stop or start."""
    return await services.update(caller, name, body)


@router.delete("/services/{name}", status_code=status.HTTP_204_NO_CONTENT, dependencies=WRITE)
async def delete_service(services: ServicesUse, caller: CallerDep, name: str) -> None:
    """Lets the replicas finish, then forgets the service. Its logs stay."""
    await services.delete(caller, name)


@router.post("/services/{name}/rollback", dependencies=WRITE)
async def rollback_service(
    services: ServicesUse, caller: CallerDep, name: str, body: Rollback | None = None
) -> Service:
    """Back to an earlier revision; an update under way is given up."""
    return await services.rollback(caller, name, body.generation if body else None)


@router.get("/services/{name}/revisions", dependencies=READ)
async def list_revisions(
    services: ServicesUse, caller: CallerDep, name: str, offset: Offset = 0, limit: Limit = 100
) -> Page[ServiceRevision]:
    """All revisions, newest first."""
    return await services.revisions(caller, name, offset=offset, limit=limit)


@router.get("/services/{name}/replicas", dependencies=READ)
async def list_replicas(
    services: ServicesUse, caller: CallerDep, name: str, offset: Offset = 0, limit: Limit = 100
) -> Page[Replica]:
    """Running and ended replicas, newest first."""
    return await services.replicas(caller, name, offset=offset, limit=limit)


@router.get("/services/{name}/log", dependencies=LOGS, response_class=PlainTextResponse)
async def get_service_log(
    logs: LogsUse,
    caller: CallerDep,
    name: str,
    tail: Tail = 100,
    follow: Follow = False,
    replica: str | None = None,
    member: Member = 0,
) -> StreamingResponse:
    """The engine's log as text, of the newest replica unless one is named; of one that spans nodes the leader's."""
    pieces = await logs.of_service(caller, name, replica_id=replica, tail=tail, follow=follow, member=member)
    return StreamingResponse(pieces, media_type="text/plain; charset=utf-8")


@router.get("/replicas/{replica_id}", dependencies=READ)
async def get_replica(logs: LogsUse, caller: CallerDep, replica_id: str) -> Replica:
    """One replica, running or ended."""
    return await logs.replica(caller, replica_id)


@router.get("/replicas/{replica_id}/log", dependencies=LOGS, response_class=PlainTextResponse)
async def get_replica_log(
    logs: LogsUse, caller: CallerDep, replica_id: str, tail: Tail = 100, follow: Follow = False, member: Member = 0
) -> StreamingResponse:
    """The log of one replica as text, also of one that ended; of one that spans nodes the leader's."""
    pieces = await logs.of_replica(caller, replica_id, tail=tail, follow=follow, member=member)
    return StreamingResponse(pieces, media_type="text/plain; charset=utf-8")
