"""Routes that users make, beside those that services have of themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.public_routes import PublicRoutes
from aicp.core.identity import Permission
from aicp.core.public_route import Route, RouteCreate, RouteUpdate
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/routes", tags=["routes"])
RoutesUse = Annotated[PublicRoutes, use_case(PublicRoutes)]
_READ = [permits(Permission.SERVICE_READ)]
_WRITE = [permits(Permission.SERVICE_WRITE)]


@router.get("", dependencies=_READ)
async def list_routes(
    caller: CallerDep,
    routes: RoutesUse,
    project: str | None = None,
    search: Search = None,
    sort: Sort = "name",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Route]:
    """Public routes and those of the caller's projects. A service needs none to be reached by its own name."""
    return await routes.list(caller, project=project, search=search, sort=sort, offset=offset, limit=limit)


@router.post("", dependencies=_WRITE, status_code=status.HTTP_201_CREATED)
async def create_route(body: RouteCreate, caller: CallerDep, routes: RoutesUse) -> Route:
    """Makes a public name that leads to several destinations; it goes before a service of the same name."""
    return await routes.create(caller, body)


@router.get("/{name}", dependencies=_READ)
async def get_route(name: str, caller: CallerDep, routes: RoutesUse) -> Route:
    """One route, with the destinations that could answer now."""
    return await routes.get(caller, name)


@router.patch("/{name}", dependencies=_WRITE)
async def update_route(name: str, body: RouteUpdate, caller: CallerDep, routes: RoutesUse) -> Route:
    """Changes what is given, weights among it; gateways follow within a second."""
    return await routes.update(caller, name, body)


@router.delete("/{name}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_route(name: str, caller: CallerDep, routes: RoutesUse) -> None:
    """Removes a route; its destinations stay."""
    await routes.delete(caller, name)
