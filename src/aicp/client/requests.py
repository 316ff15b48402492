"""Single requests, their bodies, and what projects keep of them."""

from __future__ import annotations

from dataclasses import asdict

from aicp.client.transport import Transport
from aicp.core.request_log import (
    LoggedRequest,
    RequestBodies,
    RequestLogRule,
    RequestLogRuleSet,
    RequestPage,
    RequestQuery,
)

_MOST_AT_ONCE = 500
_ANY = RequestQuery()


class Requests:
    """The request log."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, which: RequestQuery = _ANY, *, limit: int = 100) -> list[LoggedRequest]:
        """Single requests, newest first; `limit` may be any number."""
        found: list[LoggedRequest] = []
        before: str | None = None
        while True:
            query = {**asdict(which), "before": before, "limit": min(limit - len(found), _MOST_AT_ONCE)}
            page = self._transport.get("/api/v1/requests", RequestPage, query)
            found += page.items
            before = page.next
            if before is None or len(found) >= limit:
                return found

    def get(self, request_id: str) -> LoggedRequest:
        """The facts of one request; it is there a second after its end."""
        return self._transport.get(f"/api/v1/requests/{request_id}", LoggedRequest)

    def bodies(self, request_id: str) -> RequestBodies:
        """What was asked and answered, where that is kept; that it was read is in the audit log."""
        return self._transport.get(f"/api/v1/requests/{request_id}/body", RequestBodies)

    def rules(self) -> list[RequestLogRule]:
        """What projects keep of their requests, of those for which somebody has said so."""
        return self._transport.every("/api/v1/request-log", RequestLogRule)

    def rule(self, project: str) -> RequestLogRule:
        """What a project keeps of its requests."""
        return self._transport.get(f"/api/v1/projects/{project}/request-log", RequestLogRule)

    def set_rule(self, project: str, wanted: RequestLogRuleSet) -> RequestLogRule:
        """Sets what a project keeps from now on."""
        answer = self._transport.send("PUT", f"/api/v1/projects/{project}/request-log", body=wanted)
        return RequestLogRule.model_validate_json(answer.content)

    def delete_rule(self, project: str) -> None:
        """Keeps nothing from now on and deletes what was kept."""
        self._transport.delete(f"/api/v1/projects/{project}/request-log")
