"""Routes and the outside providers that they may lead to."""

from __future__ import annotations

from aicp.client.transport import Transport
from aicp.core.provider import Provider, ProviderCreate, ProviderUpdate
from aicp.core.public_route import Route, RouteCreate, RouteUpdate


class Routes:
    """Public names that lead to several destinations."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, project: str | None = None, search: str | None = None) -> list[Route]:
        """Public routes and those of the caller's projects."""
        return self._transport.every("/api/v1/routes", Route, {"project": project, "search": search})

    def get(self, name: str) -> Route:
        """One route."""
        return self._transport.get(f"/api/v1/routes/{name}", Route)

    def create(self, body: RouteCreate) -> Route:
        """A new route."""
        return self._transport.post("/api/v1/routes", Route, body)

    def update(self, name: str, changes: RouteUpdate) -> Route:
        """Changes what is given; arms and fallbacks are each given whole."""
        return self._transport.patch(f"/api/v1/routes/{name}", Route, changes)

    def delete(self, name: str) -> None:
        """Removes the route; its destinations stay."""
        self._transport.delete(f"/api/v1/routes/{name}")


class Providers:
    """OpenAI-compatible services elsewhere."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, search: str | None = None) -> list[Provider]:
        """All, without their credentials."""
        return self._transport.every("/api/v1/providers", Provider, {"search": search})

    def get(self, name: str) -> Provider:
        """One provider."""
        return self._transport.get(f"/api/v1/providers/{name}", Provider)

    def create(self, body: ProviderCreate) -> Provider:
        """A new provider; its credential is never answered again."""
        return self._transport.post("/api/v1/providers", Provider, body)

    def update(self, name: str, changes: ProviderUpdate) -> Provider:
        """Changes what is given; `credential` None takes it away."""
        return self._transport.patch(f"/api/v1/providers/{name}", Provider, changes)

    def delete(self, name: str) -> None:
        """Removes a provider that no route leads to."""
        self._transport.delete(f"/api/v1/providers/{name}")
