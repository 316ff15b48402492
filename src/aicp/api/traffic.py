"""What goes on at the gateways at the moment."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.traffic import Traffic
from aicp.core.identity import Permission
from aicp.core.traffic import LimitUsePage
from aicp.core.traffic import Traffic as Now

router = APIRouter(prefix="/api/v1/traffic", tags=["metrics"])
TrafficUse = Annotated[Traffic, use_case(Traffic)]


@router.get("", dependencies=[permits(Permission.SERVICE_READ)])
async def get_traffic(caller: CallerDep, traffic: TrafficUse) -> Now:
    """Requests of the last minute, and those running and waiting, by service and priority class, of all gateways.

    Gateways tell it only while somebody asks, so the first answer may take two seconds.
    """
    return await traffic.now(caller)


@router.get("/limits", dependencies=[permits(Permission.KEY_READ)])
async def list_limit_use(
    caller: CallerDep,
    traffic: TrafficUse,
    project: str | None = None,
    api_key_id: Annotated[list[str] | None, Query(max_length=100, description="may be given several times")] = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> LimitUsePage:
    """How much of their limits and budgets organizations, projects and keys use at the moment; those without limits are
    left out."""
    return await traffic.limits(caller, project=project, api_key_ids=api_key_id or (), offset=offset, limit=limit)
