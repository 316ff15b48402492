"""Append-only facts: what changed, by whom, from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, Field

from aicp.core.value import Page, Value


class Event(Value):
    """An audit fact (`actor` is a user name) or a platform event (`actor` is `platform`)."""

    id: str
    at: AwareDatetime
    actor: str
    action: str = Field(description="e.g. service.create, key.revoke, replica.failed")
    object_kind: str
    object_name: str
    project: str | None = None
    address: str | None = Field(default=None, description="where the request came from")
    request_id: str | None = None
    message: str = ""
    severity: str = Field(default="info", pattern="^(info|warning|error)$")
    audit: bool = False
    details: dict[str, Any] = {}


class EventPage(Page[Event]):
    """One page of a log that grows at its head: `next` leads on without passing over or repeating what comes in."""

    next: str | None = Field(default=None, description="what to send as `before` for the page after this one")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events are wanted; None is no limit. `kind` and `name` are the object's, `search` a part of the text."""

    project: str | None = None
    kind: str | None = None
    name: str | None = None
    actor: str | None = None
    action: str | None = None
    severity: str | None = None
    """Of an audit entry: warning when it was refused."""
    search: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Outside itself; both have a time zone."""


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The details of a change: `before` and `after`, each with only the fields that differ; empty without any."""
    fields = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if not fields:
        return {}
    return {"before": {name: before.get(name) for name in fields}, "after": {name: after.get(name) for name in fields}}
