"""Whether the platform lives, is ready, and which version it is."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter

import aicp
from aicp.api.access import CallerDep
from aicp.api.use_cases import use_case
from aicp.control.health import Health
from aicp.core.value import Value

router = APIRouter(tags=["health"])
HealthUse = Annotated[Health, use_case(Health)]


class HealthStatus(Value):
    """All is well; anything else is an error answer."""

    status: Literal["ok"] = "ok"


class PlatformVersion(Value):
    """What runs here. `head_patience_seconds`: for how long nodes go on without the runner's head, if it has one;
    `head_answers`: whether it is there."""

    version: str
    api: Literal["v1"] = "v1"
    runner: str = "local"
    head_patience_seconds: int | None = None
    head_answers: bool | None = None


@router.get("/healthz")
async def healthz() -> HealthStatus:
    """The process lives."""
    return HealthStatus()


@router.get("/readyz")
async def readyz(health: HealthUse) -> HealthStatus:
    """The process can do its work; 503 when the database does not answer."""
    await health.check()
    return HealthStatus()


@router.get("/api/v1/version")
async def get_version(_: CallerDep, health: HealthUse) -> PlatformVersion:
    """The version of the platform and of this interface, and where it runs replicas."""
    return PlatformVersion(
        version=aicp.__version__,
        runner=health.runner,
        head_patience_seconds=health.patience_seconds,
        head_answers=await health.head_answers(),
    )
