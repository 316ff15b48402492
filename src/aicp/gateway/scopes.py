"""Whom limits and budgets are for: `key:<id>`, `project:<name>`, `organization:<name>`; and the day they count in."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from aicp.core.route import LimitsEntry, RouteTable
from aicp.gateway.limits import Calendar

_DAY = 86_400


class Scopes:
    """The scopes of one route table, and which of them a key belongs to."""

    def __init__(self, table: RouteTable | None = None) -> None:
        self.all: list[tuple[str, str, LimitsEntry | None]] = []
        """Each with what a refusal calls it, and its limits."""
        self._above: dict[str, tuple[str, str]] = {}
        if table is None:
            return
        self.all += [(f"key:{key.id}", "This key", key.limits) for key in table.keys]
        for organization in table.organizations:
            name = f"The organization {organization.name!r}"
            self.all.append((f"organization:{organization.name}", name, organization.limits))
        for project in table.projects:
            self.all.append((f"project:{project.name}", f"The project {project.name!r}", project.limits))
            self._above[project.name] = (f"project:{project.name}", f"organization:{project.parent}")

    def of(self, key: str, project: str) -> tuple[str, ...]:
        """The scopes that requests of a key count in."""
        return (f"key:{key}", *self._above.get(project, ()))


class Today:
    """The present day, worked out once a day."""

    def __init__(self) -> None:
        self._calendar = Calendar(-1, 0, 0, 0)

    def at(self, unix: float) -> Calendar:
        """The day and month (UTC) of a time (Unix seconds)."""
        if int(unix) // _DAY != self._calendar.day:
            self._calendar = _calendar_of(unix)
        return self._calendar


def _calendar_of(unix: float) -> Calendar:
    at = datetime.fromtimestamp(unix, UTC)
    day = int(unix) // _DAY
    first = day - (at.day - 1)
    length = calendar.monthrange(at.year, at.month)[1]
    return Calendar(day, first, (day + 1) * _DAY, (first + length) * _DAY)
