"""REST: models and their versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status
from pydantic import Field

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset
from aicp.api.use_cases import use_case
from aicp.control.models import Models
from aicp.core.identity import Permission
from aicp.core.job import Job
from aicp.core.model import ImportRequest, Model, ModelCreate, ModelType, ModelUpdate, ModelVersion
from aicp.core.value import Page, Request

router = APIRouter(prefix="/api/v1/models", tags=["models"])
ModelsUse = Annotated[Models, use_case(Models)]
READ, WRITE = [permits(Permission.MODEL_READ)], [permits(Permission.MODEL_WRITE)]


class AliasTarget(Request):
    """What an alias points at."""

    version: str = Field(description="name of a version, or another alias")


@router.get("", dependencies=READ)
async def list_models(
    models: ModelsUse,
    caller: CallerDep,
    project: str | None = None,
    type: ModelType | None = None,
    search: str | None = None,
    sort: Annotated[str, Query(pattern="^-?(name|created_at|updated_at)$")] = "name",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Model]:
    """Models: public ones and those of the caller's projects."""
    return await models.list(caller, project=project, type=type, search=search, sort=sort, offset=offset, limit=limit)


@router.post("", status_code=status.HTTP_201_CREATED, dependencies=WRITE)
async def create_model(models: ModelsUse, caller: CallerDep, body: ModelCreate) -> Model:
    """A new, empty model."""
    return await models.create(caller, body)


@router.get("/{name}", dependencies=READ)
async def get_model(models: ModelsUse, caller: CallerDep, name: str) -> Model:
    """One model with its latest version."""
    return await models.get(caller, name)


@router.patch("/{name}", dependencies=WRITE)
async def update_model(models: ModelsUse, caller: CallerDep, name: str, body: ModelUpdate) -> Model:
    """Changes description, type or visibility."""
    return await models.update(caller, name, body)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT, dependencies=WRITE)
async def delete_model(models: ModelsUse, caller: CallerDep, name: str) -> None:
    """Removes a model with all versions that no service uses."""
    await models.delete(caller, name)


@router.post("/{name}/import", status_code=status.HTTP_202_ACCEPTED, dependencies=WRITE)
async def import_model(models: ModelsUse, caller: CallerDep, name: str, body: ImportRequest) -> Job:
    """Starts an import of a new version; follow the job."""
    return await models.import_version(caller, name, body)


@router.get("/{name}/versions", dependencies=READ)
async def list_model_versions(
    models: ModelsUse, caller: CallerDep, name: str, offset: Offset = 0, limit: Limit = 100
) -> Page[ModelVersion]:
    """All versions, newest first."""
    return await models.versions(caller, name, offset=offset, limit=limit)


@router.get("/{name}/versions/{version}", dependencies=READ)
async def get_model_version(models: ModelsUse, caller: CallerDep, name: str, version: str) -> ModelVersion:
    """One version by its name or an alias."""
    return await models.version(caller, name, version)


@router.delete("/{name}/versions/{version}", status_code=status.HTTP_204_NO_CONTENT, dependencies=WRITE)
async def delete_model_version(models: ModelsUse, caller: CallerDep, name: str, version: str) -> None:
    """Removes a version that no service uses."""
    await models.delete_version(caller, name, version)


@router.put("/{name}/aliases/{alias}", dependencies=WRITE)
async def set_model_alias(models: ModelsUse, caller: CallerDep, name: str, alias: str, body: AliasTarget) -> Model:
    """Points an alias at a version."""
    return await models.set_alias(caller, name, alias, body.version)


@router.delete("/{name}/aliases/{alias}", status_code=status.HTTP_204_NO_CONTENT, dependencies=WRITE)
async def delete_model_alias(models: ModelsUse, caller: CallerDep, name: str, alias: str) -> None:
    """Removes an alias."""
    await models.remove_alias(caller, name, alias)
