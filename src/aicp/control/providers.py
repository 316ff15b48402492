"""Outside providers: added, changed and removed by who may for the whole platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.ids import new_id
from aicp.core.provider import Provider, ProviderCreate, ProviderUpdate
from aicp.core.public_route import Route
from aicp.core.value import Page
from aicp.security.addresses import refuse_address, resolve_allowed
from aicp.security.keyring import Keyring
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.providers import Providers as StoredProviders
from aicp.store.public_routes import PublicRoutes

_PURPOSE = "provider-credentials"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})


@dataclass(frozen=True, slots=True)
class Outside:
    """How the platform may reach beyond itself. `networks` are private ones that the administrator opened."""

    keyring: Keyring
    networks: tuple[str, ...]
    offline: bool
    gateway_url: str

    def seal(self, provider_id: str, credential: str) -> bytes:
        """A credential as it is stored."""
        return self.keyring.seal(_PURPOSE, provider_id, credential.encode())

    def open(self, provider_id: str, sealed: bytes) -> str:
        """The credential. Raises ValueError when it was damaged, or sealed under another key."""
        return self.keyring.open(_PURPOSE, provider_id, sealed).decode()

    async def check(self, url: str) -> str:
        """The address as it is stored. Raises MalformedError or InvalidError for one that may not be connected to."""
        if self.offline:
            raise ConflictError(
                "The platform is set to be offline, so no request may leave it.",
                hint="The setting `offline` decides.",
            )
        allowed = await resolve_allowed(url, self.networks)
        parts = urlsplit(url)
        if parts.query or parts.fragment:
            raise _wrong("The address of a provider has no query and no fragment.")
        if _is_own(parts, urlsplit(self.gateway_url)):
            raise _wrong("That is this platform's own gateway: a request would go round in circles.")
        if allowed.scheme == "http" and refuse_address(ip_address(allowed.address), allowed.host) is None:
            raise _wrong("A provider beyond private networks is reached by https only: requests hold a credential.")
        return url.rstrip("/")


class Providers:
    """Use cases over providers. A change reaches every gateway within a second."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, outside: Outside) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._outside = outside

    async def list(
        self, caller: Caller, *, search: str | None = None, sort: str = "name", offset: int = 0, limit: int = 100
    ) -> Page[Provider]:
        """All providers, without their credentials."""
        caller.require(Permission.PROVIDER_READ)
        async with self._database.snapshot() as tx:
            return await StoredProviders(tx).list(search=search, sort=sort, offset=offset, limit=limit)

    async def get(self, caller: Caller, name: str) -> Provider:
        """One provider. Raises NotFoundError."""
        caller.require(Permission.PROVIDER_READ)
        async with self._database.snapshot() as tx:
            return await _get(tx, name)

    async def create(self, caller: Caller, wanted: ProviderCreate) -> Provider:
        """Adds a provider. Raises ConflictError for a name that is taken."""
        caller.require_everywhere(Permission.PROVIDER_WRITE)
        base_url, now = await self._outside.check(wanted.base_url), self._clock.now()
        provider = Provider(
            id=new_id("prv"),
            name=wanted.name,
            description=wanted.description,
            base_url=base_url,
            models=_once(wanted.models),
            endpoints=wanted.endpoints,
            has_credential=wanted.credential is not None,
            created_at=now,
            updated_at=now,
        )
        sealed = None if wanted.credential is None else self._outside.seal(provider.id, wanted.credential)
        async with self._database.transaction() as tx:
            if await StoredProviders(tx).find(wanted.name):
                raise ConflictError(
                    f"There is a provider {wanted.name!r} already.",
                    hint="Choose another name.",
                    details={"fields": {"name": "taken"}},
                )
            await StoredProviders(tx).create(provider, sealed)
            details = provider.model_dump(mode="json", exclude={"id", "created_at", "updated_at"})
            await self._audit(tx, caller, "provider.create", wanted.name, details)
        self._bell.ring("provider", wanted.name)
        return provider

    async def update(self, caller: Caller, name: str, wanted: ProviderUpdate) -> Provider:
        """Changes what is given. Another host needs the credential anew: it is nobody else's to have."""
        caller.require_everywhere(Permission.PROVIDER_WRITE)
        base_url = None if wanted.base_url is None else await self._outside.check(wanted.base_url)
        async with self._database.transaction() as tx:
            before = await _get(tx, name)
            changes: dict[str, Any] = wanted.model_dump(mode="json", exclude_none=True, exclude={"credential"})
            if base_url is not None:
                changes["base_url"] = base_url
                _require_credential(before, base_url, wanted)
            if wanted.models is not None:
                changes["models"] = _once(wanted.models)
                await _require_unused(tx, name, kept=frozenset(wanted.models))
            if "credential" in wanted.model_fields_set:
                given = wanted.credential
                changes["credential"] = None if given is None else self._outside.seal(before.id, given)
            await StoredProviders(tx).update(name, changes, self._clock.now())
            provider = await _get(tx, name)
            details = difference(_told(before), _told(provider))
            message = "A new credential." if wanted.credential else ""
            await self._audit(tx, caller, "provider.update", name, details, message)
        self._bell.ring("provider", name)
        return provider

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes a provider and its credential. Raises ConflictError while a route leads there."""
        caller.require_everywhere(Permission.PROVIDER_WRITE)
        async with self._database.transaction() as tx:
            await _get(tx, name)
            await _require_unused(tx, name)
            await StoredProviders(tx).delete(name)
            await self._audit(tx, caller, "provider.delete", name)
        self._bell.ring("provider", name)

    async def _audit(
        self,
        tx: Transaction,
        caller: Caller,
        action: str,
        name: str,
        details: Mapping[str, Any] | None = None,
        message: str = "",
    ) -> None:
        now = self._clock.now()
        await Events(tx).audit(caller, now, action, "provider", name, message=message, details=details)


async def _get(tx: Transaction, name: str) -> Provider:
    provider = await StoredProviders(tx).find(name)
    if provider is None:
        raise NotFoundError(f"Provider {name!r} does not exist.", hint="`aicp provider list` shows those that exist.")
    return provider


async def _require_unused(tx: Transaction, name: str, kept: frozenset[str] = frozenset()) -> None:
    """Raises ConflictError while a route leads to a model of the provider that is not `kept`."""
    for route in await PublicRoutes(tx).all():
        lost = next((end.model for end in _ends(route, name) if end.model not in kept), None)
        if lost is not None:
            raise ConflictError(
                f"The route {route.name!r} leads to {lost!r} of {name!r}.",
                hint="Change the route first.",
                code="in_use",
            )


def _ends(route: Route, provider: str) -> list[Any]:
    return [destination for destination in route.destinations if destination.provider == provider]


def _require_credential(before: Provider, base_url: str, wanted: ProviderUpdate) -> None:
    moved = urlsplit(before.base_url)[:2] != urlsplit(base_url)[:2]
    if before.has_credential and moved and "credential" not in wanted.model_fields_set:
        raise InvalidError(
            "The credential was given for another host, so it is not sent to the new one.",
            hint="Give the credential for the new address, or null for none.",
            details={"fields": {"credential": "needed anew"}},
        )


def _told(provider: Provider) -> dict[str, Any]:
    return provider.model_dump(mode="json", exclude={"updated_at"})


def _once(names: list[str]) -> list[str]:
    return [*dict.fromkeys(names)]


def _is_own(parts: SplitResult, own: SplitResult) -> bool:
    ports = [one.port or (443 if one.scheme == "https" else 80) for one in (parts, own)]
    hosts = {parts.hostname, own.hostname}
    return ports[0] == ports[1] and (len(hosts) == 1 or hosts <= _LOOPBACK)


def _wrong(message: str) -> InvalidError:
    return InvalidError(message, details={"fields": {"base_url": message}})
