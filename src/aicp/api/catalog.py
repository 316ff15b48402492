"""REST: the catalogue of well-known models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from aicp.api.access import permits
from aicp.api.paging import Limit, Offset, Search
from aicp.api.use_cases import use_case
from aicp.control.catalog import Catalog
from aicp.core.catalog import CatalogModel
from aicp.core.identity import Permission
from aicp.core.model import ModelType
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/catalog", tags=["models"])


@router.get("", dependencies=[permits(Permission.MODEL_READ)])
async def list_catalog(
    catalog: Annotated[Catalog, use_case(Catalog)],
    search: Search = None,
    type: ModelType | None = None,
    pool: Annotated[str, Query(description="whose accelerators each model is judged for")] = "default",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[CatalogModel]:
    """Well-known models: sizes, where to get them, the mode that suits them, and whether the pool could serve them."""
    return await catalog.list(search=search, type=type, pool=pool, offset=offset, limit=limit)
