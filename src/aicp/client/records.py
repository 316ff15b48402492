"""What happened: usage, audit, events, overview."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aicp.client.transport import Transport
from aicp.core.event import Event, EventPage
from aicp.core.usage import UsageRecord, UsageRow
from aicp.core.value import Page, Value

_MOST_AT_ONCE = 500


class PlatformVersion(Value):
    """What runs there."""

    version: str
    api: str


class Records:
    """Read-only records of the platform."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def usage(self, *, project: str | None = None, limit: int = 100, **filters: Any) -> list[UsageRecord]:
        """Single requests, newest first. Filters: api_key_id, service, since, until, outcome."""
        query = {"project": project, "limit": limit, **filters}
        return self._transport.get("/api/v1/usage", Page[UsageRecord], query).items

    def usage_summary(
        self, *, group_by: str = "service", since: datetime | None = None, until: datetime | None = None
    ) -> list[UsageRow]:
        """Usage summed by key, project, service, day or hour."""
        query = {
            "group_by": group_by,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
        }
        found = self._transport.get("/api/v1/usage/summary", Any, query)
        rows = found["items"] if isinstance(found, dict) else found
        return [UsageRow.model_validate(row) for row in rows]

    def usage_csv(self) -> str:
        """All requests as CSV."""
        return self._transport.send("GET", "/api/v1/usage.csv").text

    def audit(self, *, limit: int = 100, **filters: Any) -> list[Event]:
        """Who changed what, newest first; `limit` may be any number.

        Filters: actor, action, kind, name, project, severity (`warning`: refused), search, since, until.
        """
        return self._events("/api/v1/audit", limit, filters)

    def audit_csv(self, **filters: Any) -> str:
        """The same, all that match, as CSV."""
        return self._transport.send("GET", "/api/v1/audit.csv", query=_query(filters)).text

    def events(self, *, limit: int = 100, **filters: Any) -> list[Event]:
        """What the platform saw and did, newest first; `limit` may be any number. Filters: as of `audit`."""
        return self._events("/api/v1/events", limit, filters)

    def overview(self) -> dict[str, Any]:
        """The figures of the overview page."""
        return self._transport.get("/api/v1/overview", dict[str, Any])

    def version(self) -> PlatformVersion:
        """Version of the platform and of its interface."""
        return self._transport.get("/api/v1/version", PlatformVersion)

    def _events(self, path: str, limit: int, filters: dict[str, Any]) -> list[Event]:
        found: list[Event] = []
        before: str | None = None
        while True:
            most = min(limit - len(found), _MOST_AT_ONCE)
            page = self._transport.get(path, EventPage, {**_query(filters), "before": before, "limit": most})
            found += page.items
            before = page.next
            if before is None or len(found) >= limit:
                return found


def _query(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}
