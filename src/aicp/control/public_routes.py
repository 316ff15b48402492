"""Routes that users make: public names that lead to services and outside providers, by weight and as fallbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aicp.control.providers import Outside
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.ids import new_id
from aicp.core.model import Visibility
from aicp.core.public_route import Destination, Route, RouteCreate, RouteUpdate
from aicp.core.service import Service
from aicp.core.value import Page
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.projects import Projects
from aicp.store.providers import Providers
from aicp.store.public_routes import PublicRoutes as StoredRoutes
from aicp.store.services import Services


class PublicRoutes:
    """Use cases over routes. A change reaches every gateway within a second."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, outside: Outside) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._outside = outside

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Route]:
        """Public routes, and those of the caller's projects."""
        async with self._database.snapshot() as tx:
            page = await StoredRoutes(tx).list(
                projects=caller.visible_projects(Permission.SERVICE_READ),
                project=project,
                search=search,
                sort=sort,
                offset=offset,
                limit=limit,
            )
            return page.model_copy(update={"items": await self._shown(tx, page.items)})

    async def get(self, caller: Caller, name: str) -> Route:
        """One route. Raises NotFoundError."""
        async with self._database.snapshot() as tx:
            return (await self._shown(tx, [await _visible(tx, caller, name)]))[0]

    async def create(self, caller: Caller, wanted: RouteCreate) -> Route:
        """Makes a route. Raises ConflictError for a name that is taken, InvalidError for where it cannot lead."""
        caller.require(Permission.SERVICE_WRITE, wanted.project, what=f"Project {wanted.project!r}")
        now = self._clock.now()
        route = Route(id=new_id("rte"), created_at=now, updated_at=now, **_fields(wanted))
        async with self._database.transaction() as tx:
            if await Projects(tx).find(wanted.project) is None:
                raise NotFoundError(f"Project {wanted.project!r} does not exist.")
            if await StoredRoutes(tx).find(wanted.name) is not None:
                raise _taken(f"There is a route {wanted.name!r} already.")
            await _require_sound(tx, route)
            await StoredRoutes(tx).create(route)
            await self._audit(tx, caller, "route.create", route, wanted.model_dump(mode="json", exclude_none=True))
        self._bell.ring("route", route.name)
        return await self.get(caller, route.name)

    async def update(self, caller: Caller, name: str, wanted: RouteUpdate) -> Route:
        """Changes what is given; requests in flight end where they are."""
        async with self._database.transaction() as tx:
            before = await _visible(tx, caller, name)
            caller.require(Permission.SERVICE_WRITE, before.project, what=f"Route {name!r}")
            given = {field: getattr(wanted, field) for field in wanted.model_fields_set}
            changes = {field: value for field, value in given.items() if value is not None}
            route = before.model_copy(update=changes)
            await _require_sound(tx, route)
            stored = route.model_dump(mode="json", include=set(changes))
            await StoredRoutes(tx).update(name, stored, self._clock.now())
            await self._audit(tx, caller, "route.update", route, difference(_told(before), _told(route)))
        self._bell.ring("route", name)
        return await self.get(caller, name)

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes a route; a service of its name is reached by that name again."""
        async with self._database.transaction() as tx:
            route = await _visible(tx, caller, name)
            caller.require(Permission.SERVICE_WRITE, route.project, what=f"Route {name!r}")
            await StoredRoutes(tx).delete(name)
            await self._audit(tx, caller, "route.delete", route)
        self._bell.ring("route", name)

    async def _shown(self, tx: Transaction, routes: Sequence[Route]) -> list[Route]:
        """With what could answer now."""
        services = await standing(tx)
        models = {} if self._outside.offline else {p.name: p.models for p, _ in await Providers(tx).sealed()}

        def is_ready(route: Route, end: Destination) -> bool:
            if end.provider is not None:
                return end.model in models.get(end.provider, ())
            service = services.get(end.service or "")
            return service is not None and leads_to(route, service) and service.replicas_ready > 0

        return [
            route.model_copy(
                update={"ready": [*dict.fromkeys(end.label for end in route.destinations if is_ready(route, end))]}
            )
            for route in routes
        ]

    async def _audit(
        self, tx: Transaction, caller: Caller, action: str, route: Route, details: Mapping[str, Any] | None = None
    ) -> None:
        now = self._clock.now()
        await Events(tx).audit(caller, now, action, "route", route.name, project=route.project, details=details)


async def standing(tx: Transaction) -> dict[str, Service]:
    """The services that are not being deleted, by name."""
    deleted = await Services(tx).deleted()
    return {service.name: service for service in await Services(tx).all() if service.id not in deleted}


def leads_to(route: Route, service: Service) -> bool:
    """Whether a route may lead to a service: one of its own project, or a public one."""
    return service.project == route.project or service.spec.visibility == Visibility.PUBLIC


async def require_free_of_routes(tx: Transaction, name: str, project: str, visibility: Visibility) -> None:
    """Raises ConflictError when a service of that name would be hidden from whom it is meant for."""
    route = await StoredRoutes(tx).find(name)
    if route is None or (route.project == project and _shows(route, visibility)):
        return
    raise _taken(f"There is a route {name!r} already, which requests to that name would follow.")


async def _visible(tx: Transaction, caller: Caller, name: str) -> Route:
    route = await StoredRoutes(tx).find(name)
    public = route is not None and route.visibility == Visibility.PUBLIC and caller.may(Permission.SERVICE_READ)
    if route is None or not (public or caller.may(Permission.SERVICE_READ, route.project)):
        raise NotFoundError(f"There is no route {name!r}.", hint="`aicp route list` shows those that exist.")
    return route


async def _require_sound(tx: Transaction, route: Route) -> None:
    """Raises ConflictError or InvalidError for a route that would hide a service or lead nowhere."""
    services = await standing(tx)
    hidden = services.get(route.name)
    if hidden is not None and hidden.project != route.project:
        raise _taken(f"There is a service {route.name!r} of another project already.")
    if hidden is not None and not _shows(route, hidden.spec.visibility):
        raise _taken(f"The service {route.name!r} is public, and a route of one project would hide it from the others.")
    if not any(arm.weight for arm in route.arms):
        raise _wrong("arms", "One arm needs a weight above 0.")
    for field, ends in (("arms", route.arms), ("fallbacks", route.fallbacks)):
        labels = [end.label for end in ends]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise _wrong(field, f"{twice!r} is among them twice.")
        for end in ends:
            await _require_end(tx, route, end, services, field)
    if len(route.arms) == 1 and route.arms[0].label in {end.label for end in route.fallbacks}:
        raise _wrong("fallbacks", f"{route.arms[0].label!r} would be its own fallback.")


async def _require_end(
    tx: Transaction, route: Route, end: Destination, services: Mapping[str, Service], field: str
) -> None:
    if end.provider is not None:
        provider = await Providers(tx).find(end.provider)
        if provider is None:
            raise _wrong(field, f"There is no provider {end.provider!r}.")
        if end.model not in provider.models:
            raise _wrong(field, f"The provider {end.provider!r} lists no model {end.model!r}.")
        return
    service = services.get(end.service or "")
    if service is not None and leads_to(route, service):
        return
    if end.service == route.name or await StoredRoutes(tx).find(end.service or "") is not None:
        raise _wrong(
            field,
            f"{end.service!r} is a route. Routes lead to services and providers alone, so that none runs in circles.",
        )
    raise _wrong(field, f"There is no service {end.service!r} that project {route.project!r} may use.")


def _shows(route: Route, visibility: Visibility) -> bool:
    return route.visibility == Visibility.PUBLIC or visibility == Visibility.PROJECT


def _fields(wanted: RouteCreate) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in RouteCreate.model_fields}


def _told(route: Route) -> dict[str, Any]:
    return route.model_dump(mode="json", exclude={"ready", "updated_at"}, exclude_none=True)


def _taken(message: str) -> ConflictError:
    return ConflictError(message, hint="Choose another name.", details={"fields": {"name": message}})


def _wrong(field: str, message: str) -> InvalidError:
    return InvalidError(message, details={"fields": {field: message}})
