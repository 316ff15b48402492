"""The route table in use: compiled for look-ups, kept on disk, swapped whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from aicp.core.route import ChoiceEntry, ListenerEntry, RouteEntry, RouteTable, Target
from aicp.gateway.accounts import Accounts
from aicp.gateway.api_keys import Key, KeyRing
from aicp.gateway.arms import Arms
from aicp.gateway.budgets import Budgets
from aicp.gateway.cache_file import CACHE_NAME
from aicp.gateway.caches import Caches
from aicp.gateway.errors import ApiError, unavailable
from aicp.gateway.replicas import Replica
from aicp.gateway.speeds import Traffic
from aicp.security.tls_identity import TlsIdentity

log = logging.getLogger(__name__)


class Route:
    """A public model name and where its requests go."""

    __slots__ = (
        "arms",
        "endpoints",
        "entry",
        "name",
        "price",
        "project",
        "public",
        "refused_fields",
        "replicas",
        "service",
        "traffic",
    )

    def __init__(
        self, entry: RouteEntry, replicas: tuple[Replica, ...], traffic: Traffic | None = None, public: str = ""
    ) -> None:
        self.entry = entry
        self.name = entry.name
        """Of the destination: its places are shared by all who lead there."""
        self.public = public or entry.name
        """What clients call it."""
        self.arms: Arms[Route] | None = None
        """Where there is something to choose before a replica is; None: it leads to its own replicas."""
        self.service = entry.service
        self.project = entry.project
        self.price = entry.price
        self.endpoints = frozenset(entry.endpoints)
        self.refused_fields = frozenset(entry.refused_fields)
        self.replicas = replicas
        self.traffic = traffic or Traffic()
        """What its requests are like; it outlives the table."""


class Table:
    """One compiled route table."""

    __slots__ = ("_routes", "etag", "keys", "listeners", "routes")

    def __init__(
        self,
        etag: str,
        keys: KeyRing,
        routes: Collection[Route],
        choices: Iterable[Route] = (),
        listeners: Sequence[ListenerEntry] = (),
    ) -> None:
        self.etag = etag
        self.listeners = listeners
        self.keys = keys
        self.routes = routes
        """All destinations, also those that have no public name."""
        self._routes = {route.name: route for route in routes if not route.entry.hidden}
        self._routes |= {route.public: route for route in choices}

    def find(self, name: str, key: Key) -> Route | None:
        """The route of that name if `key` may use it."""
        route = self._routes.get(name)
        if route is None or (route.project is not None and route.project != key.project):
            return None
        return route if key.models is None or name in key.models else None

    def of_project(self, name: str, project: str) -> Route | None:
        """The route of that name if `project` may use it, whatever a key of it is limited to."""
        route = self._routes.get(name)
        return route if route is not None and route.project in (None, project) else None

    def again(self, route: Route, key: Key) -> Route | None:
        """The way of an earlier table as this one has it, if `key` may still take it."""
        found = self.find(route.public, key)
        if found is not None and found.arms is not None:
            return found.arms.find(route.name)
        return found if found is not None and found.name == route.name else None

    def visible(self, key: Key) -> list[Route]:
        """All routes that `key` may use, by name."""
        return [self._routes[name] for name in sorted(self._routes) if self.find(name, key) is not None]


class Routes:
    """The table in use (None until the first one) and the replicas of it and of earlier ones still busy."""

    def __init__(
        self,
        path: Path,
        accounts: Accounts | None = None,
        budgets: Budgets | None = None,
        credentials: TlsIdentity | None = None,
    ) -> None:
        self._path = path
        self._credentials = credentials
        self._replicas: dict[str, Replica] = {}
        self._leaving: list[Replica] = []
        self._traffic: dict[str, Traffic] = {}
        self._observer: Callable[[Table], None] | None = None
        self.table: Table | None = None
        self.accounts = accounts or Accounts()
        self.budgets = budgets or Budgets()
        self.caches = Caches(path.with_name(CACHE_NAME))

    @property
    def etag(self) -> str:
        """The etag of the table in use; empty without one."""
        return "" if self.table is None else self.table.etag

    def swap(self, raw: RouteTable) -> None:
        """Takes a new table. Requests in flight keep their replicas. Raises ValueError and keeps the old table."""
        self.accounts.swap(raw)
        self.budgets.swap(raw)
        self.caches.swap(raw)
        logs = {project.name: project.log for project in raw.projects if project.log is not None}
        keys = KeyRing(raw.pepper, raw.keys, self.accounts.of, self.budgets.of, self.caches.of, logs)
        before, self._replicas = self._replicas, {}
        self._traffic = {entry.name: self._traffic.get(entry.name) or Traffic() for entry in raw.routes}
        routes = [Route(entry, self._targets(entry, before), self._traffic[entry.name]) for entry in raw.routes]
        found = {route.name: route for route in routes}
        self.table = Table(raw.etag, keys, routes, [_choice(entry, found) for entry in raw.choices], raw.listeners)
        for replica in before.values():
            if self._replicas.get(replica.id) is not replica:
                replica.pool.close()
                self._leaving.append(replica)
        if self._observer is not None:
            self._observer(self.table)

    def observe(self, observer: Callable[[Table], None]) -> None:
        """Calls `observer` with every new table, and with the present one."""
        self._observer = observer
        if self.table is not None:
            observer(self.table)

    def inflight(self) -> dict[str, int]:
        """Requests in flight by replica; replicas that left the table are in it while they are busy."""
        self._leaving = [replica for replica in self._leaving if replica.inflight]
        counts = {replica.id: replica.inflight for replica in self._replicas.values()}
        for replica in self._leaving:
            counts[replica.id] = counts.get(replica.id, 0) + replica.inflight
        return counts

    def load(self, path: Path | None = None) -> bool:
        """Takes the table of the last run, if there is a sound one; `path` is where another process kept its own."""
        try:
            self.swap(msgspec.json.decode((path or self._path).read_bytes(), type=RouteTable))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, msgspec.DecodeError) as error:
            log.warning("the kept route table is of no use and is left aside: %s", error)
            return False
        return True

    def save(self, raw: RouteTable) -> None:
        """Keeps a table for the next start, readable by nobody else. Raises OSError."""
        unfinished = self._path.with_name(f".{self._path.name}.new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(raw))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)

    def _targets(self, entry: RouteEntry, before: dict[str, Replica]) -> tuple[Replica, ...]:
        replicas: list[Replica] = []
        for target in entry.targets:
            replica = self._replicas.get(target.replica_id) or _kept(before, target)
            if replica is None:
                try:
                    replica = Replica(target, self._credentials)
                except ValueError as error:
                    log.error("route %s: replica %s is left out: %s", entry.name, target.replica_id, error)
                    continue
            self._replicas[target.replica_id] = replica
            replicas.append(replica)
        return tuple(replicas)


def not_ready(route: Route) -> ApiError:
    """503: there is such a model, and no replica of it."""
    reason = f": {route.entry.reason}" if route.entry.reason else ""
    message = f"The model {route.public!r} has no ready replica{reason}."
    return unavailable(message, retry_after=5, code="model_not_ready")


def _choice(entry: ChoiceEntry, routes: Mapping[str, Route]) -> Route:
    """A choice of one destination is the way to it. The ways of others are kept also while nothing is ready there."""

    def way(name: str) -> Route:
        found = routes.get(name)
        if found is None:
            return Route(_nowhere(entry), (), public=entry.name)
        price = entry.price or found.entry.price
        shown = replace(found.entry, project=entry.project, created_at=entry.created_at, price=price)
        return Route(shown, found.replicas, found.traffic, entry.name)

    shares = [(way(arm.route), arm.weight) for arm in entry.arms if arm.weight]
    fallbacks = [way(name) for name in entry.fallbacks]
    ways = [*(one for one, _ in shares), *fallbacks]
    ready = next((one for one in ways if one.replicas), None)
    if ready is None:
        reasons = [f"{one.service}: {one.entry.reason or 'not ready'}" for one in ways if one.service]
        nowhere = replace(_nowhere(entry), reason="; ".join(reasons))
        sleeper = next((one for one in ways if one.entry.wake is not None), None)
        if sleeper is None:
            return Route(nowhere, (), public=entry.name)
        # what it would be called for there is known, so a request is judged before it waits
        asleep = replace(sleeper.entry, project=entry.project, created_at=entry.created_at, reason=nowhere.reason)
        return Route(asleep, (), sleeper.traffic, entry.name)
    if len(ways) == 1:
        return ready
    route = Route(ready.entry, ready.replicas, ready.traffic, entry.name)
    route.arms = Arms(entry.name, shares, fallbacks, by_key=entry.sticky == "key")
    return route


def _nowhere(entry: ChoiceEntry) -> RouteEntry:
    return RouteEntry(entry.name, "", entry.project, "", "", entry.name, [], [], [], created_at=entry.created_at)


def _kept(before: dict[str, Replica], target: Target) -> Replica | None:
    """The replica of the earlier table, unless it was started anew in between."""
    replica = before.get(target.replica_id)
    return replica if replica is not None and replica.target == target else None
