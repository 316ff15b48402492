"""Rules of caches as gateways need them: with a generation that changes whenever the model behind a name does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from aicp.core.cache_rule import CacheMode, CacheRule
from aicp.core.public_route import Route
from aicp.core.route import CacheEntry
from aicp.core.service import Service
from aicp.store.replicas import StoredReplica
from aicp.store.revisions import Revision

_DIGITS = 16


class Stamps:
    """What stands behind public names: other answers must be expected when the stamp is another one."""

    def __init__(
        self,
        services: Mapping[str, Service],
        revisions: Mapping[str, Sequence[Revision]],
        ready: Sequence[StoredReplica],
        routes: Sequence[Route],
    ) -> None:
        self._services, self._revisions, self._ready = services, revisions, ready
        self._routes = {route.name: route for route in routes}

    def of(self, name: str) -> list[object]:
        """Of a route all that it leads to; an arm without a weight answers nothing."""
        route = self._routes.get(name)
        if route is None:
            return self._service(name)
        own = [arm for arm in route.arms if arm.weight]
        return [
            [end.label] if end.provider is not None else self._service(end.service or "")
            for end in (*own, *route.fallbacks)
        ]

    def _service(self, name: str) -> list[object]:
        """The newest revision, and while an update runs also those before that still answer."""
        service = self._services.get(name)
        revisions = self._revisions.get(service.id, ()) if service is not None else ()
        if service is None or not revisions:
            return [name]
        templates = {item.replica.generation for item in self._ready if item.service_id == service.id}
        return [service.id, *sorted(templates | {revisions[0].template})]


def cache_entries(rules: Sequence[CacheRule], stamps: Stamps) -> list[CacheEntry]:
    """One of each rule that is not off."""
    return [
        CacheEntry(
            project=rule.project,
            model=rule.model,
            ttl=float(rule.ttl_seconds),
            generation=_generation(rule, stamps),
            measure=rule.mode is CacheMode.MEASURE,
            embedding_model=rule.embedding_model,
            threshold=rule.threshold,
            max_entries=rule.max_entries,
            any_temperature=rule.any_temperature,
        )
        for rule in rules
    ]


def _generation(rule: CacheRule, stamps: Stamps) -> str:
    behind = [stamps.of(name) for name in (rule.model, rule.embedding_model) if name is not None]
    text = json.dumps([rule.generation, behind], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
