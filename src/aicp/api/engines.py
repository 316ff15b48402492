"""Serving programs: what they can do, where they are installed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.use_cases import use_case
from aicp.control.engines import Engines
from aicp.core.engine import EngineInfo, EngineInstall
from aicp.core.identity import Permission
from aicp.core.job import Job
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/engines", tags=["engines"])
EnginesUse = Annotated[Engines, use_case(Engines)]
READ, WRITE = [permits(Permission.ENGINE_READ)], [permits(Permission.ENGINE_WRITE)]


@router.get("", dependencies=READ)
async def list_engines(engines: EnginesUse, caller: CallerDep) -> Page[EngineInfo]:
    """Engines with versions, parameters, where they are installed and which services use them."""
    return await engines.list(caller)


@router.get("/{name}", dependencies=READ)
async def get_engine(engines: EnginesUse, caller: CallerDep, name: str) -> EngineInfo:
    """One engine."""
    return await engines.get(caller, name)


@router.post("/{name}/install", status_code=status.HTTP_202_ACCEPTED, dependencies=WRITE)
async def install_engine(engines: EnginesUse, caller: CallerDep, name: str, body: EngineInstall | None = None) -> Job:
    """Builds an environment; answered with a job."""
    return await engines.install(caller, name, body or EngineInstall())


@router.delete("/{name}/{version}", status_code=status.HTTP_202_ACCEPTED, dependencies=WRITE)
async def remove_engine(
    engines: EnginesUse, caller: CallerDep, name: str, version: str, variant: str | None = None
) -> Job:
    """Removes a version that no service uses; answered with a job."""
    return await engines.remove(caller, name, version, variant)
