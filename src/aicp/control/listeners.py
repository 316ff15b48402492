"""Listeners of public model names, and the ports of the machine that are used or reserved."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aicp.control.public_routes import standing
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.gateway import GatewayStatus
from aicp.core.identity import Permission
from aicp.core.listener import Listener, ListenerSet, ListenerState, Port, PortUse
from aicp.core.model import Visibility
from aicp.core.value import Page
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.gateways import Gateways
from aicp.store.listeners import Listeners as StoredListeners
from aicp.store.public_routes import PublicRoutes
from aicp.store.replicas import CHARGED, Replicas

_FIELDS = {"address", "port", "tls_certificate", "tls_key"}


@dataclass(frozen=True, slots=True)
class HostPorts:
    """What the settings say of this machine's ports. `insecure` allows listening beyond loopback without TLS."""

    control: tuple[str, int]
    gateway: tuple[str, int]
    reserved: tuple[tuple[int, int], ...] = ()
    insecure: bool = False


class Listeners:
    """Use cases over listeners. A change reaches every gateway within a second."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, ports: HostPorts) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._ports = ports

    async def list(self, caller: Caller) -> Page[Listener]:
        """Those of models that the caller's projects may use, by port, with what the gateways say of them."""
        projects = caller.visible_projects(Permission.SERVICE_READ)
        async with self._database.snapshot() as tx:
            found = await StoredListeners(tx).all()
            names = await _models(tx, projects)
            live = [one for one in await Gateways(tx).live(self._clock.now()) if not one.leaving]
        # one whose model is gone holds its port still: whoever looks after the platform sees it
        seen = [one for one in found if one.model in names or projects is None]
        items = [_with_state(one, live, known=one.model in names) for one in seen]
        return Page(items=items, total=len(items), limit=max(len(items), 1))

    async def set(self, caller: Caller, model: str, wanted: ListenerSet) -> Listener:
        """Gives a model an address of its own, or another one. Raises ConflictError that names who has the port."""
        caller.require_everywhere(Permission.NODE_WRITE)
        self._require_safe(wanted)
        listener = Listener(model=model, **dict(wanted), set_at=self._clock.now(), set_by=caller.user)
        async with self._database.snapshot() as tx:
            known = model in await _models(tx, None)
            before = await StoredListeners(tx).find(model)
        if not known:
            raise NotFoundError(
                f"There is neither a service nor a route {model!r}.", hint="`aicp service list` shows what there is."
            )
        if wanted.tls_certificate is not None and wanted.tls_key is not None:
            await asyncio.to_thread(_require_certificate, wanted.tls_certificate, wanted.tls_key)
        moves = before is None or before.port != wanted.port
        async with self._database.transaction() as tx:
            before = await StoredListeners(tx).find(model)
            self._require_free(await self._used(tx), wanted.port, model)
            if moves:  # else the gateway has it
                await asyncio.to_thread(_require_bindable, wanted.address, wanted.port)
            await StoredListeners(tx).set(listener)
            shown = [one.model_dump(mode="json", include=_FIELDS) if one else {} for one in (before, listener)]
            details = difference(*shown)
            await Events(tx).audit(
                caller, self._clock.now(), "listener.set", "listener", model, message=model, details=details
            )
        self._bell.ring("listener", model)
        return listener

    async def delete(self, caller: Caller, model: str) -> None:
        """Takes a model's own address away; requests in flight there end as they would. Raises NotFoundError."""
        caller.require_everywhere(Permission.NODE_WRITE)
        async with self._database.transaction() as tx:
            before = await StoredListeners(tx).find(model)
            if before is None:
                raise NotFoundError(f"The model {model!r} has no listener.")
            await StoredListeners(tx).delete(model)
            details = difference(before.model_dump(mode="json", include=_FIELDS), {})
            await Events(tx).audit(
                caller, self._clock.now(), "listener.delete", "listener", model, message=model, details=details
            )
        self._bell.ring("listener", model)

    async def ports(self, caller: Caller) -> Page[Port]:
        """All ports that the platform uses or that are reserved, by number; whose they are, to who may see all."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            used = await self._used(tx)
        if caller.visible_projects(Permission.SERVICE_READ) is not None:
            used = [port.model_copy(update={"holder": ""}) for port in used]
        used.sort(key=lambda port: (port.first, port.last, port.use))
        return Page(items=used, total=len(used), limit=max(len(used), 1))

    async def _used(self, tx: Transaction) -> list[Port]:
        ports = [
            _port(self._ports.control[1], self._ports.control[0], PortUse.CONTROL),
            _port(self._ports.gateway[1], self._ports.gateway[0], PortUse.GATEWAY),
        ]
        ports += [_port(one.port, one.address, PortUse.LISTENER, one.model) for one in await StoredListeners(tx).all()]
        for stored in await Replicas(tx).in_state(*CHARGED):
            parts = urlsplit(stored.replica.address or "")
            if parts.port is not None and parts.scheme == "http":
                ports.append(_port(parts.port, parts.hostname or "", PortUse.ENGINE, stored.replica.id))
        return ports + [Port(first=first, last=last, use=PortUse.RESERVED) for first, last in self._ports.reserved]

    def _require_safe(self, wanted: ListenerSet) -> None:
        address = wanted.address
        loopback = ipaddress.ip_address(address).is_loopback
        if not loopback and wanted.tls_certificate is None and not self._ports.insecure:
            raise InvalidError(
                f"Listening on {address} without TLS would send keys and answers in the clear to other machines.",
                hint="Name a certificate and its key, or start the platform with --insecure.",
                details={"fields": {"tls_certificate": "Needed beyond this machine."}},
            )

    @staticmethod
    def _require_free(used: Iterable[Port], number: int, model: str) -> None:
        for port in used:
            own = port.use is PortUse.LISTENER and port.holder == model
            if port.first <= number <= port.last and not own:
                raise _taken(_belongs(number, port))


async def _models(tx: Transaction, projects: frozenset[str] | None) -> set[str]:
    """Public names that these projects may use; None: all."""
    services = await standing(tx)
    found = {name: (one.project, one.spec.visibility) for name, one in services.items()}
    found |= {route.name: (route.project, route.visibility) for route in await PublicRoutes(tx).all()}
    return {
        name
        for name, (project, visibility) in found.items()
        if projects is None or project in projects or visibility == Visibility.PUBLIC
    }


def _with_state(listener: Listener, live: Iterable[GatewayStatus], *, known: bool) -> Listener:
    model = listener.model
    if not known:
        return _in_state(listener, ListenerState.WAITING, f"There is neither a service nor a route {model!r}.")
    said = [one.listeners[model] for one in live if model in one.listeners]
    if not said:
        return _in_state(listener, ListenerState.WAITING, "No gateway has it yet.")
    problem = next((text for text in said if text), "")
    return _in_state(listener, ListenerState.FAILED if problem else ListenerState.OPEN, problem)


def _in_state(listener: Listener, state: ListenerState, reason: str) -> Listener:
    return listener.model_copy(update={"state": state, "reason": reason})


def _port(number: int, address: str, use: PortUse, holder: str = "") -> Port:
    return Port(first=number, last=number, address=address, use=use, holder=holder)


def _belongs(number: int, port: Port) -> str:
    match port.use:
        case PortUse.CONTROL:
            return f"Port {number} is that of the console and the REST interface."
        case PortUse.GATEWAY:
            return f"Port {number} is that of the gateway."
        case PortUse.LISTENER:
            return f"Port {number} is that of the listener of {port.holder!r}."
        case PortUse.ENGINE:
            return f"Port {number} is that of the engine of replica {port.holder}."
        case PortUse.RESERVED:
            return f"Port {number} is reserved by the settings ({port.first}-{port.last})."


def _require_bindable(address: str, port: int) -> None:
    """Raises ConflictError for a port that a program outside the platform has, InvalidError for a wrong address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(f"Port {port} on {address} is taken by another program.") from error
        field = "address" if error.errno == errno.EADDRNOTAVAIL else "port"
        message = f"The gateway cannot listen on {address}:{port}: {error.strerror}."
        raise InvalidError(message, details={"fields": {field: message}}) from error


def _require_certificate(certificate: str, key: str) -> None:
    """Raises InvalidError unless the two files are there and belong together."""
    try:
        for name in (certificate, key):
            with open(name, "rb"):
                pass
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        message = f"{certificate} and {key} are no certificate with its key."
        raise InvalidError(message, details={"fields": {"tls_certificate": message}}) from error
    except OSError as error:
        message = f"{error.filename} cannot be read on the gateway's machine ({error.strerror})."
        field = "tls_key" if error.filename == key else "tls_certificate"
        raise InvalidError(message, details={"fields": {field: message}}) from error


def _taken(message: str) -> ConflictError:
    hint = "Choose another one; `aicp port list` shows those that are used and reserved."
    return ConflictError(message, hint=hint, details={"fields": {"port": message}})
