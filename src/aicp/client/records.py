"""What happened and what is measured: usage, audit, events, metrics, overview."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from aicp.client.transport import Query, Transport
from aicp.core.event import Event, EventPage, EventQuery
from aicp.core.metric import MetricSeries
from aicp.core.overview import Overview
from aicp.core.usage import UsageQuery, UsageRecord, UsageRow
from aicp.core.value import Page, Value

_MOST_AT_ONCE = 500
_ANY_USE, _ANY_EVENT = UsageQuery(), EventQuery()


class PlatformVersion(Value):
    """What runs there. `head_patience_seconds`: for how long nodes go on without the runner's head, if it has one;
    `head_answers`: whether it is there."""

    version: str
    api: str
    runner: str = "local"
    head_patience_seconds: int | None = None
    head_answers: bool | None = None


class Change(Value):
    """Something of `kind` changed; `name` is empty where the caller may not see whose it is."""

    kind: str
    name: str = ""


class Records:
    """Read-only records of the platform."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def usage(self, which: UsageQuery = _ANY_USE, *, limit: int = 100, offset: int = 0) -> list[UsageRecord]:
        """Single requests, newest first: `limit` (at most 500) of them after the first `offset`."""
        query = {**asdict(which), "limit": limit, "offset": offset}
        return self._transport.get("/api/v1/usage", Page[UsageRecord], query).items

    def usage_summary(
        self, which: UsageQuery = _ANY_USE, *, group_by: str | Sequence[str] = "service"
    ) -> list[UsageRow]:
        """Usage summed by key, tag, project, service, day or hour, or several of them.

        Whole hours count: `since` is rounded down to its hour, and `outcome` does not apply.
        """
        groups = [group_by] if isinstance(group_by, str) else [*group_by]
        return self._transport.get("/api/v1/usage/summary", Page[UsageRow], {**asdict(which), "group_by": groups}).items

    def usage_csv(self, which: UsageQuery = _ANY_USE) -> Iterator[str]:
        """Single requests as lines of CSV, newest first; the first line names the columns."""
        return self._transport.lines("/api/v1/usage.csv", asdict(which))

    def audit(self, which: EventQuery = _ANY_EVENT, *, limit: int = 100, offset: int = 0) -> list[Event]:
        """Who changed what, newest first: `limit` (any number) of them after the first `offset`."""
        return _newest(lambda query: self._transport.get("/api/v1/audit", EventPage, query), which, limit, offset)

    def audit_csv(self, which: EventQuery = _ANY_EVENT) -> Iterator[str]:
        """The same, all that match, as lines of CSV; the first line names the columns."""
        return self._transport.lines("/api/v1/audit.csv", asdict(which))

    def events(self, which: EventQuery = _ANY_EVENT, *, limit: int = 100, offset: int = 0) -> list[Event]:
        """What the platform saw and did by itself, newest first; `limit` may be any number."""
        return _newest(lambda query: self._transport.get("/api/v1/events", EventPage, query), which, limit, offset)

    def metrics(
        self,
        name: str,
        *,
        service: str | None = None,
        node: str | None = None,
        pool: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        step: int | None = None,
    ) -> list[MetricSeries]:
        """Series of one metric, by default of the last hour; `step` is in seconds (15 to 86400)."""
        labels = {"service": service, "node": node, "pool": pool}
        query = {"name": name, **labels, "since": since, "until": until, "step": step}
        return self._transport.get("/api/v1/metrics", list[MetricSeries], query)

    def changes(self) -> Iterator[Change]:
        """What changes that the caller may see, as it happens; a break of the connection raises UnavailableError."""
        for data in self._transport.events("/api/v1/changes"):
            yield Change.model_validate(data)

    def overview(self) -> Overview:
        """The figures of the overview page."""
        return self._transport.get("/api/v1/overview", Overview)

    def version(self) -> PlatformVersion:
        """Version of the platform and of its interface."""
        return self._transport.get("/api/v1/version", PlatformVersion)


def _newest(ask: Callable[[Query], EventPage], which: EventQuery, limit: int, offset: int) -> list[Event]:
    found: list[Event] = []
    place: dict[str, str | int] = {"offset": offset}
    while True:
        page = ask({**asdict(which), **place, "limit": min(limit - len(found), _MOST_AT_ONCE)})
        found += page.items
        if page.next is None or len(found) >= limit:
            return found
        place = {"before": page.next}
