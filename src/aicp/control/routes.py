"""The route table: what the gateway needs to serve, built from the store whenever it changed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
from dataclasses import asdict, replace

from aicp.control.cache_entries import Stamps, cache_entries
from aicp.control.destinations import choices, provider_entries
from aicp.control.providers import Outside
from aicp.control.public_routes import standing
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.launch import ReplicaState
from aicp.core.model import ModelType, Visibility
from aicp.core.registry import Registry
from aicp.core.route import RouteEntry, RouteTable, Target, WakeEntry
from aicp.core.service import Service
from aicp.engines.base import Engine, ReportsCache
from aicp.store.api_keys import ApiKeys
from aicp.store.cache_rules import CacheRules
from aicp.store.database import Database
from aicp.store.listeners import Listeners
from aicp.store.organizations import Organizations
from aicp.store.prices import Prices
from aicp.store.projects import Projects
from aicp.store.providers import Providers
from aicp.store.public_routes import PublicRoutes
from aicp.store.replicas import Replicas, StoredReplica
from aicp.store.request_log import RequestLogRules
from aicp.store.revisions import Revision, Revisions
from aicp.store.routes import RouteStates

_RECHECK_SECONDS = 1.0
"""A lost ring, or a key that expires, shows after this long."""
_SPARE = 1.0
"""Of requests that are over in milliseconds so many more than are computed together wait at the engine, as a share."""

_BELLS = ("key", "service", "replica", "project", "price", "route", "provider", "cache_rule", "listener")


class RouteTables:
    """Builds tables and waits for the next one. Only ready replicas are targets."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bell: Bell,
        engines: Registry[Engine],
        outside: Outside,
        *,
        pepper: bytes,
        currency: str = "USD",
    ) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._engines = engines
        self._outside = outside
        self._pepper = base64.b64encode(pepper).decode()
        self._currency = currency
        self._published: str | None = None

    async def current(self) -> RouteTable:
        """The table of this moment. What it routes to is noted in the store, so that draining can wait for it."""
        async with self._database.snapshot() as tx:
            keys = await ApiKeys(tx).entries(self._clock.now())
            projects, organizations = await Projects(tx).entries(), await Organizations(tx).entries()
            services = await standing(tx)
            made = await PublicRoutes(tx).all()
            rules = await CacheRules(tx).active()
            providers = await Providers(tx).sealed() if made else []
            revisions = await Revisions(tx).newest()
            ready = await Replicas(tx).in_state(ReplicaState.READY)
            prices = await Prices(tx).entries()
            logs = await RequestLogRules(tx).entries()
            listeners = await Listeners(tx).entries()
        routes = [
            replace(
                self._route(service, revisions[service.id], [item for item in ready if item.service_id == service.id]),
                price=prices.get(service.name),
            )
            for service in services.values()
            if service.id in revisions
        ]
        routes += provider_entries(made, providers, self._outside)
        table = RouteTable(
            etag="",
            pepper=self._pepper,
            keys=keys,
            routes=routes,
            projects=[replace(project, log=logs.get(project.name)) for project in projects],
            organizations=organizations,
            currency=self._currency,
            choices=[replace(choice, price=prices.get(choice.name)) for choice in choices(made, services)],
            caches=cache_entries(rules, Stamps(services, revisions, ready, made)) if rules else [],
            listeners=[one for one in listeners if one.model in services or any(r.name == one.model for r in made)],
        )
        table = replace(table, etag=_etag(table))
        if table.etag != self._published:
            targets = [target.replica_id for route in routes for target in route.targets]
            async with self._database.transaction() as tx:
                await RouteStates(tx).publish(table.etag, targets, self._clock.now())
            self._published = table.etag
        return table

    async def wait(self, etag: str, seconds: float) -> RouteTable | None:
        """The first table whose etag is another, or None after `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        with self._bell.subscription(*_BELLS) as rings:
            while True:
                table = await self.current()
                if table.etag != etag:
                    return table
                left = deadline - loop.time()
                if left <= 0:
                    return None
                await Bell.wait(rings, min(_RECHECK_SECONDS, left))

    def _route(self, service: Service, revisions: list[Revision], ready: list[StoredReplica]) -> RouteEntry:
        """While an update runs, only what the ready replicas of all its revisions can do is promised."""
        templates = {item.replica.generation for item in ready}
        serving = [item for item in revisions if item.template in templates] or revisions[:1]
        engines = [self._engines.get(item.plan.engine) for item in serving]
        runs = {item.template: engine for item, engine in zip(serving, engines, strict=True)}
        places = {item.template: _places(item, engine) for item, engine in zip(serving, engines, strict=True)}
        contexts = [item.plan.context_length for item in serving if item.plan.context_length is not None]
        return RouteEntry(
            name=service.name,
            service=service.name,
            project=None if service.spec.visibility == Visibility.PUBLIC else service.project,
            type=service.type.value,
            engine=engines[0].name,
            upstream_model=service.name,
            endpoints=[
                path
                for path in engines[0].endpoints(service.type)
                if all(path in engine.endpoints(service.type) for engine in engines[1:])
            ],
            refused_fields=list(dict.fromkeys(name for engine in engines for name in engine.refused_fields)),
            targets=[
                Target(
                    item.replica.id,
                    item.replica.address,
                    item.token,
                    places.get(item.replica.generation),
                    cache_events=_cache_events(runs.get(item.replica.generation), service, item.replica.address),
                )
                for item in ready
                if item.replica.address
            ],
            context_length=min(contexts, default=None),
            created_at=service.created_at.timestamp(),
            continues={
                path: how
                for path, how in engines[0].continues.items()
                if all(engine.continues.get(path) == how for engine in engines[1:])
            },
            scales=service.spec.autoscale is not None,
            wake=_wake(service),
            reason="" if service.replicas_ready else f"{service.state.value}: {service.reason}".rstrip(": "),
        )


def _wake(service: Service) -> WakeEntry | None:
    """How a request waits for a service that sleeps; None where it never does, or was stopped."""
    rule = service.spec.autoscale
    if rule is None or service.stopped or not rule.may_sleep:
        return None
    seconds = service.scale.wake_seconds if service.scale else None
    return WakeEntry(rule.max_wait_seconds, None if seconds is None else math.ceil(seconds))


def _cache_events(engine: Engine | None, service: Service, address: str) -> str | None:
    """The socket beside a replica's own where its engine tells what its cache holds; None where there is none."""
    told = engine.cache_events(service.type) if isinstance(engine, ReportsCache) else None
    if told is None or not address.startswith("unix:"):
        return None
    return told.replace("{listen}", address.removeprefix("unix:"))


def _places(revision: Revision, engine: Engine) -> int | None:
    """How many requests a replica may be given at once; None where its engine has no bound.

    For chat that is what it computes together, and not one more: a place that is free for a round trip costs a step of
    the hundreds that an answer takes, while each request in the engine's own queue, which knows neither priorities nor
    keys, makes every later one wait for the end of a whole answer. Embeddings and rankings take about as long as the
    round trip, so there the next batch is given before the present one is done: the engine never runs dry.
    """
    chosen = [choice.value for choice in revision.plan.choices if choice.name == engine.parallel]
    if not chosen or type(chosen[-1]) is not int:
        return None
    together = chosen[-1]
    return together if revision.type is ModelType.CHAT else together + max(1, math.ceil(together * _SPARE))


def _etag(table: RouteTable) -> str:
    text = json.dumps(asdict(table), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
