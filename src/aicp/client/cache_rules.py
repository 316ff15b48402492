"""Rules of caches, and what the caches did."""

from __future__ import annotations

from datetime import datetime

from aicp.client.transport import Transport
from aicp.core.cache_rule import CacheRule, CacheRuleSet, CacheStats
from aicp.core.value import Page


class CacheRules:
    """One rule a project and public model name; without one nothing is kept."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, project: str | None = None, search: str | None = None) -> list[CacheRule]:
        """Rules of the caller's projects, by project and model."""
        return self._transport.every("/api/v1/cache-rules", CacheRule, {"project": project, "search": search})

    def set(self, project: str, model: str, rule: CacheRuleSet) -> CacheRule:
        """Keeps a project's answers of a model from now on."""
        answer = self._transport.send("PUT", f"/api/v1/cache-rules/{project}/{model}", body=rule)
        return CacheRule.model_validate_json(answer.content)

    def delete(self, project: str, model: str) -> None:
        """Keeps nothing any more; what was kept is thrown away."""
        self._transport.delete(f"/api/v1/cache-rules/{project}/{model}")

    def invalidate(self, project: str, model: str) -> CacheRule:
        """Throws away what was kept so far."""
        return self._transport.post(f"/api/v1/cache-rules/{project}/{model}/invalidate", CacheRule)

    def stats(
        self, *, project: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> list[CacheStats]:
        """What the caches did, in whole hours."""
        which = {"project": project, "since": since, "until": until}
        page: Page[CacheStats] = self._transport.get("/api/v1/cache-rules/stats", Page[CacheStats], which)
        return page.items
