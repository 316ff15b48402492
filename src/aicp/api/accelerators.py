"""REST: published facts of accelerators, and how many of them services would need."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search
from aicp.api.use_cases import use_case
from aicp.control.accelerators import AcceleratorCatalog
from aicp.core.accelerator_catalog import CatalogAccelerator
from aicp.core.advice import Advice, AdviceRequest
from aicp.core.identity import Permission
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["nodes"])
CatalogUse = Annotated[AcceleratorCatalog, use_case(AcceleratorCatalog)]
READ = [permits(Permission.NODE_READ)]


@router.get("/accelerator-catalog", dependencies=READ)
async def list_accelerator_catalog(
    catalog: CatalogUse,
    caller: CallerDep,
    search: Search = None,
    vendor: str | None = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[CatalogAccelerator]:
    """Kinds of accelerators with their published figures, each with its source; not those of this platform."""
    return await catalog.list(caller, search=search, vendor=vendor, offset=offset, limit=limit)


@router.get("/accelerator-catalog/{name}", dependencies=READ)
async def get_catalog_accelerator(catalog: CatalogUse, caller: CallerDep, name: str) -> CatalogAccelerator:
    """One kind of accelerator."""
    return await catalog.get(caller, name)


@router.post("/pools/advice", dependencies=READ)
async def advise_pool(catalog: CatalogUse, caller: CallerDep, body: AdviceRequest) -> Advice:
    """How many cards of each kind the services would need, whole and sliced, with the packing; changes nothing."""
    return await catalog.advise(caller, body)
