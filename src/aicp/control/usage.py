"""Metered consumption: taken in from the gateways, listed, summed, exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from aicp.core.access import Caller
from aicp.core.clock import Clock
from aicp.core.identity import Permission
from aicp.core.route import LimitsEntry, Total, Totals
from aicp.core.usage import UsageBatch, UsageQuery, UsageRecord, UsageRow
from aicp.core.value import Page
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database, Transaction
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects
from aicp.store.usage import Usage as StoredUsage
from aicp.store.usage import UsageFilter, UsageSum, Used, ttft_percentile

_EXPORT_PAGE = 1000


class UsageGroup(StrEnum):
    """What a summary tells apart. Days and hours are UTC.

    Tags are those that keys have now: what a key with several used counts in the row of each.
    """

    KEY = "key"
    TAG = "tag"
    PROJECT = "project"
    SERVICE = "service"
    DAY = "day"
    HOUR = "hour"


_STORED = {UsageGroup.DAY: "hour", UsageGroup.HOUR: "hour", UsageGroup.TAG: "key"}
"""What the store tells apart for a group, where it is called otherwise there."""
_NO_TAGS = ("",)


class Usage:
    """Usage of the projects that a caller may see."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def accept(self, batch: UsageBatch) -> int:
        """Counts a gateway's batch, once however often it is sent; answers its sequence."""
        async with self._database.transaction() as tx:
            added = await StoredUsage(tx).accept(batch, self._clock.now())
            used: dict[str, datetime] = {}
            for record in added:
                used[record.api_key_id] = max(record.started_at, used.get(record.api_key_id, record.started_at))
            await ApiKeys(tx).touch(used)
        return batch.sequence

    async def totals(self, gateway_id: str) -> Totals:
        """Use of this day and month (UTC) of every scope with such a limit, and the asking gateway's last batch."""
        now = self._clock.now()
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        async with self._database.snapshot() as tx:
            usage = StoredUsage(tx)
            sequence = await usage.last_batch(gateway_id)
            parents = await _quota_scopes(tx, now)
            days = await usage.used_since(day) if parents else {}
            months = await usage.used_since(day.replace(day=1)) if parents else {}
        totals = Totals(at=now.timestamp(), sequence=sequence, scopes={})
        for (key, project), month in months.items():
            today = days.get((key, project), Used())
            for scope in parents.scopes(key, project):
                _add(totals.scopes, scope, today.tokens, month.tokens)
                _add(totals.spent, scope, today.cost_micros, month.cost_micros)
        return totals

    async def list(self, caller: Caller, which: UsageQuery, *, offset: int = 0, limit: int = 100) -> Page[UsageRecord]:
        """Single requests, newest first."""
        async with self._database.snapshot() as tx:
            return await StoredUsage(tx).list(_visible(caller, which), offset=offset, limit=limit)

    async def summary(self, caller: Caller, which: UsageQuery, groups: Sequence[UsageGroup]) -> Page[UsageRow]:
        """Sums over whole hours, told apart by `groups` (none: one row). Percentiles are within 5 %."""
        apart = {_STORED.get(group, group.value) for group in groups}
        async with self._database.snapshot() as tx:
            sums = await StoredUsage(tx).sums(_visible(caller, which), apart)
            tags = await ApiKeys(tx).tags() if UsageGroup.TAG in groups else {}
        rows: dict[tuple[str, ...], _Row] = {}
        for item in sums:
            for tag in tags.get(item.group.get("key", ""), _NO_TAGS):
                group = {name.value: tag if name is UsageGroup.TAG else _label(name, item) for name in groups}
                rows.setdefault(tuple(group.values()), _Row(group)).add(item)
        items = [row.value() for row in rows.values() if row.requests]
        return Page(items=items, total=len(items), limit=max(len(items), 1))

    def export(self, caller: Caller, which: UsageQuery) -> AsyncIterator[UsageRecord]:
        """All single requests, newest first, read page by page. What the caller may see is checked at once."""
        return self._pages(_visible(caller, which))

    async def _pages(self, which: UsageFilter) -> AsyncIterator[UsageRecord]:
        last: UsageRecord | None = None
        while True:
            async with self._database.snapshot() as tx:
                page = await StoredUsage(tx).after(which, last, _EXPORT_PAGE)
            for record in page:
                yield record
            if len(page) < _EXPORT_PAGE:
                return
            last = page[-1]


@dataclass(frozen=True, slots=True)
class _Scopes:
    """Scopes with a limit by day or month, and the organization of every project."""

    limited: frozenset[str]
    organizations: dict[str, str]

    def __bool__(self) -> bool:
        return bool(self.limited)

    def scopes(self, key: str, project: str) -> list[str]:
        """Those of `limited` that a key's use counts against."""
        names = (f"key:{key}", f"project:{project}", f"organization:{self.organizations.get(project, '')}")
        return [name for name in names if name in self.limited]


async def _quota_scopes(tx: Transaction, now: datetime) -> _Scopes:
    projects = await Projects(tx).entries()
    named = [(f"key:{key.id}", key.limits) for key in await ApiKeys(tx).entries(now)]
    named += [(f"project:{project.name}", project.limits) for project in projects]
    named += [(f"organization:{one.name}", one.limits) for one in await Organizations(tx).entries()]
    limited = (name for name, limits in named if limits and _by_day_or_month(limits))
    return _Scopes(frozenset(limited), {project.name: project.parent for project in projects})


def _by_day_or_month(limits: LimitsEntry) -> bool:
    tokens = limits.tokens_per_day or limits.tokens_per_month
    return bool(tokens or limits.budget_per_day or limits.budget_per_month)


def _add(totals: dict[str, Total], scope: str, day: int, month: int) -> None:
    before = totals.get(scope, Total(0, 0))
    totals[scope] = Total(before.day + day, before.month + month)


@dataclass(slots=True)
class _Row:
    group: dict[str, str]
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_micros: int = 0
    unpriced: int = 0
    ttft: Counter[int] = field(default_factory=Counter[int])

    def add(self, item: UsageSum) -> None:
        self.requests += item.requests
        self.errors += item.errors
        self.prompt_tokens += item.prompt_tokens
        self.completion_tokens += item.completion_tokens
        self.cost_micros += item.cost_micros
        self.unpriced += item.unpriced
        self.ttft.update(item.ttft)

    def value(self) -> UsageRow:
        return UsageRow(
            group=self.group,
            requests=self.requests,
            errors=self.errors,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_micros=self.cost_micros,
            unpriced=self.unpriced,
            ttft_ms_p50=ttft_percentile(self.ttft, 0.5),
            ttft_ms_p99=ttft_percentile(self.ttft, 0.99),
        )


def _label(group: UsageGroup, item: UsageSum) -> str:
    if group is UsageGroup.DAY:
        return item.group["hour"].date().isoformat()
    if group is UsageGroup.HOUR:
        return item.group["hour"].isoformat().replace("+00:00", "Z")
    return str(item.group[group.value])


def _visible(caller: Caller, which: UsageQuery) -> UsageFilter:
    projects = caller.visible_projects(Permission.USAGE_READ)
    if which.project is not None:
        caller.require(Permission.USAGE_READ, which.project, what=f"Project {which.project!r}")
        projects = frozenset({which.project})
    return UsageFilter(
        projects=projects,
        api_key_id=which.api_key_id,
        service=which.service,
        outcome=which.outcome,
        since=which.since,
        until=which.until,
    )
