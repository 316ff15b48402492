"""Single requests, their bodies, and what projects keep of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, status
from pydantic import AwareDatetime

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.request_log import RequestLog
from aicp.core.identity import Permission
from aicp.core.request_log import (
    LoggedRequest,
    RequestBodies,
    RequestLogRule,
    RequestLogRuleSet,
    RequestPage,
    RequestQuery,
)
from aicp.core.usage import Outcome
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["requests"])
LogUse = Annotated[RequestLog, use_case(RequestLog)]
_READ = [permits(Permission.USAGE_READ)]
_RULE_READ = [permits(Permission.PROJECT_READ)]
_RULE_WRITE = [permits(Permission.PROJECT_WRITE)]


def _query(
    request_id: Annotated[str | None, Query(max_length=128, description="the beginning of its id")] = None,
    project: str | None = None,
    api_key_id: str | None = None,
    service: Annotated[str | None, Query(description="name of the model that answered")] = None,
    outcome: Outcome | None = None,
    status: Annotated[int | None, Query(ge=100, le=599, description="HTTP status of the answer")] = None,
    tag: Annotated[str | None, Query(max_length=100, description="a tag of the key")] = None,
    failed: Annotated[bool, Query(description="only what did not go well")] = False,
    with_body: Annotated[bool, Query(description="only requests whose bodies are kept")] = False,
    since: Annotated[AwareDatetime | None, Query(description="from this moment on")] = None,
    until: Annotated[AwareDatetime | None, Query(description="before this moment")] = None,
) -> RequestQuery:
    return RequestQuery(
        request_id=request_id,
        project=project,
        api_key_id=api_key_id,
        service=service,
        outcome=outcome,
        status=status,
        tag=tag,
        failed=failed,
        with_body=with_body,
        since=since,
        until=until,
    )


@router.get("/requests", dependencies=_READ)
async def list_requests(
    caller: CallerDep,
    log: LogUse,
    which: Annotated[RequestQuery, Depends(_query)],
    before: Annotated[str | None, Query(max_length=128, description="`next` of the page before")] = None,
    limit: Limit = 100,
) -> RequestPage:
    """Single requests, newest first."""
    return await log.list(caller, which, before=before, limit=limit)


@router.get("/requests/{request_id}", dependencies=_READ)
async def get_request(request_id: str, caller: CallerDep, log: LogUse) -> LoggedRequest:
    """The facts of one request; it is here a second after its end."""
    return await log.get(caller, request_id)


@router.get("/requests/{request_id}/body", dependencies=[permits(Permission.BODY_READ)])
async def get_request_body(request_id: str, caller: CallerDep, log: LogUse) -> RequestBodies:
    """What was asked and answered, where that is kept. Who reads it is in the audit log."""
    return await log.read_bodies(caller, request_id)


@router.get("/request-log", dependencies=_RULE_READ)
async def list_request_log_rules(
    caller: CallerDep, log: LogUse, offset: Offset = 0, limit: Limit = 100
) -> Page[RequestLogRule]:
    """What projects keep of their requests, by project; only those of which somebody has said so."""
    return await log.rules(caller, offset=offset, limit=limit)


@router.get("/projects/{name}/request-log", dependencies=_RULE_READ)
async def get_request_log_rule(name: str, caller: CallerDep, log: LogUse) -> RequestLogRule:
    """What a project keeps of its requests beyond their facts."""
    return await log.rule(caller, name)


@router.put("/projects/{name}/request-log", dependencies=_RULE_WRITE)
async def set_request_log_rule(name: str, body: RequestLogRuleSet, caller: CallerDep, log: LogUse) -> RequestLogRule:
    """Sets what a project keeps of its requests from now on; what was kept before stays until its retention ends."""
    return await log.set_rule(caller, name, body)


@router.delete("/projects/{name}/request-log", dependencies=_RULE_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_request_log_rule(name: str, caller: CallerDep, log: LogUse) -> None:
    """Keeps nothing of a project's requests from now on and deletes what was kept."""
    await log.delete_rule(caller, name)
