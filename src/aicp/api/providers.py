"""Outside providers that routes may lead to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.providers import Providers
from aicp.core.identity import Permission
from aicp.core.provider import Provider, ProviderCreate, ProviderUpdate
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/providers", tags=["providers"])
ProvidersUse = Annotated[Providers, use_case(Providers)]
_READ = [permits(Permission.PROVIDER_READ)]
_WRITE = [permits(Permission.PROVIDER_WRITE)]


@router.get("", dependencies=_READ)
async def list_providers(
    caller: CallerDep,
    providers: ProvidersUse,
    search: Search = None,
    sort: Sort = "name",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Provider]:
    """All providers, without their credentials."""
    return await providers.list(caller, search=search, sort=sort, offset=offset, limit=limit)


@router.post("", dependencies=_WRITE, status_code=status.HTTP_201_CREATED)
async def create_provider(body: ProviderCreate, caller: CallerDep, providers: ProvidersUse) -> Provider:
    """Adds a provider; its credential is kept encrypted and never answered."""
    return await providers.create(caller, body)


@router.get("/{name}", dependencies=_READ)
async def get_provider(name: str, caller: CallerDep, providers: ProvidersUse) -> Provider:
    """One provider."""
    return await providers.get(caller, name)


@router.patch("/{name}", dependencies=_WRITE)
async def update_provider(name: str, body: ProviderUpdate, caller: CallerDep, providers: ProvidersUse) -> Provider:
    """Changes what is given; an address at another host needs the credential anew."""
    return await providers.update(caller, name, body)


@router.delete("/{name}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_provider(name: str, caller: CallerDep, providers: ProvidersUse) -> None:
    """Removes a provider that no route leads to, and its credential."""
    await providers.delete(caller, name)
