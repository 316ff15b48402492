"""What goes on at the gateways. They tell it with their heartbeats, and only while somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict

from aicp.control.live_sums import route_rows, traffic_rows, used_by_scope
from aicp.control.metrics import visible_services
from aicp.core.access import Caller
from aicp.core.clock import Clock
from aicp.core.identity import Permission
from aicp.core.live import LiveReport, Watched
from aicp.core.route import LimitsEntry, ScopeEntry
from aicp.core.traffic import LimitScope, LimitUse, LimitUsePage, UsedLimit
from aicp.core.traffic import Traffic as Now
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database
from aicp.store.gateways import Gateways
from aicp.store.limits import limits_entry, stored_limits
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects

_LOOKED_SECONDS = 10.0
"""So long after a look gateways go on telling."""
_FRESH_SECONDS = 3.0
_WAIT_SECONDS = 2.5
"""A gateway hears within a second that somebody looks, and tells at once."""
_MICROS = 1_000_000


class Traffic:
    """Keeps the last report of every gateway, in memory."""

    def __init__(self, database: Database, clock: Clock, currency: str) -> None:
        self._database, self._clock, self._currency = database, clock, currency
        self._reports: dict[str, tuple[float, LiveReport]] = {}
        self._traffic_until = self._scopes_until = 0.0
        self._came = asyncio.Event()

    def take(self, gateway_id: str, report: LiveReport | None) -> Watched:
        """Notes what a gateway tells; answers what it should tell next."""
        now = self._clock.monotonic()
        if report is not None:
            kept = {name: one for name, one in self._reports.items() if now - one[0] < _FRESH_SECONDS}
            self._reports = kept | {gateway_id: (now, report)}
            self._came.set()
            self._came = asyncio.Event()
        return Watched(traffic=now < self._traffic_until, scopes=now < self._scopes_until)

    async def now(self, caller: Caller) -> Now:
        """Requests by service and class, of services that the caller may see."""
        self._traffic_until = self._clock.monotonic() + _LOOKED_SECONDS
        reports = await self._fresh(lambda watched: watched.traffic)
        everything = caller.visible_projects(Permission.SERVICE_READ) is None
        async with self._database.snapshot() as tx:
            projects = {service.name: service.project for service in await visible_services(tx, caller)}
        rows = [
            row.model_copy(update={"project": projects.get(row.service)})
            for row in traffic_rows(reports)
            if everything or row.service in projects
        ]
        routes = [route for route in route_rows(reports) if everything or route.service in projects]
        return Now(at=self._clock.now(), gateways=len(reports), services=rows, routes=routes)

    async def limits(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        api_key_ids: Sequence[str] = (),
        offset: int = 0,
        limit: int = 100,
    ) -> LimitUsePage:
        """Limits of organizations, projects and keys that the caller may see, with their use; `api_key_ids`: of these
        keys alone."""
        visible = caller.visible_projects(Permission.KEY_READ)
        if project is not None:
            caller.require(Permission.KEY_READ, project, what=f"Project {project!r}")
            visible = frozenset({project})
        self._scopes_until = self._clock.monotonic() + _LOOKED_SECONDS
        reports = await self._fresh(lambda watched: watched.scopes)
        used = used_by_scope(reports) if reports else None
        found = [] if api_key_ids else await self._above(visible, used)
        async with self._database.snapshot() as tx:
            keys = await ApiKeys(tx).limited(self._clock.now(), visible, api_key_ids)
        for key in keys:
            limits = _used(f"key:{key.id}", limits_entry(stored_limits(key.limits)), used)
            found.append(LimitUse(scope=LimitScope.KEY, name=key.name, id=key.id, project=key.project, limits=limits))
        return LimitUsePage(
            items=found[offset : offset + limit],
            total=len(found),
            offset=offset,
            limit=limit,
            gateways=len(reports),
            currency=self._currency,
        )

    async def _above(self, visible: frozenset[str] | None, used: dict[str, dict[str, int]] | None) -> list[LimitUse]:
        """Organizations, for those who see everything, and projects."""
        async with self._database.snapshot() as tx:
            organizations = await Organizations(tx).entries() if visible is None else []
            projects = [one for one in await Projects(tx).entries() if visible is None or one.name in visible]
        scopes: list[tuple[LimitScope, ScopeEntry]] = [(LimitScope.ORGANIZATION, one) for one in organizations]
        scopes += [(LimitScope.PROJECT, one) for one in projects]
        found: list[LimitUse] = []
        for scope, one in scopes:
            limits = _used(f"{scope.value}:{one.name}", one.limits, used)
            if limits:
                found.append(LimitUse(scope=scope, name=one.name, id=one.name, limits=limits))
        return found

    async def _fresh(self, told: Callable[[Watched], bool]) -> list[LiveReport]:
        """The reports of all gateways that are alive; waits for those that do not know yet that somebody looks."""
        async with self._database.snapshot() as tx:
            alive = {status.id for status in await Gateways(tx).live(self._clock.now())}
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_SECONDS):
                while not alive <= self._known(told).keys():
                    await self._came.wait()
        return list(self._known(told).values())

    def _known(self, told: Callable[[Watched], bool]) -> dict[str, LiveReport]:
        now = self._clock.monotonic()
        return {
            name: report
            for name, (at, report) in self._reports.items()
            if now - at < _FRESH_SECONDS and told(report.watched)
        }


def _used(scope: str, limits: LimitsEntry | None, used: dict[str, dict[str, int]] | None) -> list[UsedLimit]:
    """Every limit that is set. Of a scope that no gateway names nothing is used."""
    found: list[UsedLimit] = []
    for name, most in (asdict(limits) if limits else {}).items():
        if most is not None:
            unit = _MICROS if name.startswith("budget_") else 1
            number = None if used is None else used.get(scope, {}).get(name, 0) / unit
            found.append(UsedLimit(limit=name, used=number, most=most / unit))
    return found
