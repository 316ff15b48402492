"""Append-only facts: what changed, by whom, from where."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, Field

from aicp.core.value import Value


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
