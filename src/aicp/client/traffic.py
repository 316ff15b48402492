"""What goes on at the gateways at the moment."""

from __future__ import annotations

from collections.abc import Sequence

from aicp.client.transport import Transport
from aicp.core.traffic import LimitUse, Traffic


class TrafficNow:
    """Requests of the last minute, and what is used of limits. Gateways tell it while somebody asks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def now(self) -> Traffic:
        """Requests by service and priority class, of all gateways; the first call may take two seconds."""
        return self._transport.get("/api/v1/traffic", Traffic)

    def limits(self, *, project: str | None = None, api_key_id: Sequence[str] = ()) -> list[LimitUse]:
        """Limits of organizations, projects and keys, and how much of each is used; or those of some keys alone."""
        query = {"project": project, "api_key_id": [*api_key_id]}
        return self._transport.every("/api/v1/traffic/limits", LimitUse, query)
