"""How full the KV caches of replicas are, as their engines say it in their own metrics."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from ssl import SSLContext

import httpx

from aicp.client.places import reach
from aicp.core.clock import Clock
from aicp.core.errors import UnavailableError
from aicp.core.registry import Registry
from aicp.engines.base import Engine
from aicp.store.replicas import StoredReplica

_METRIC = "kv_cache_usage_ratio"
_EVERY = timedelta(seconds=5)
_TIMEOUT_SECONDS = 1.0
_VALUE = r"^{name}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)"


class KvUse:
    """Asks each replica every few seconds; one that does not answer, or whose engine does not say, is left out.

    `tls` gives what to prove oneself with to engines on joined nodes.
    """

    def __init__(self, engines: Registry[Engine], clock: Clock, tls: Callable[[], SSLContext] | None = None) -> None:
        self._tls = tls
        names = {engine.metrics[_METRIC] for engine in map(engines.get, engines.names()) if _METRIC in engine.metrics}
        self._patterns = [re.compile(_VALUE.format(name=re.escape(name)), re.MULTILINE) for name in sorted(names)]
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._asked_at: datetime | None = None

    async def of(self, replicas: Sequence[StoredReplica]) -> dict[str, float]:
        """Service id -> the mean of its replicas, in percent; services of which none says it are not in it."""
        now = self._clock.now()
        if replicas and (self._asked_at is None or now - self._asked_at >= _EVERY):
            self._asked_at = now
            values = await asyncio.gather(*(self._ask(item) for item in replicas))
            pairs = zip(replicas, values, strict=True)
            self._seen = {item.replica.id: value for item, value in pairs if value is not None}
        found: defaultdict[str, list[float]] = defaultdict(list)
        for item in replicas:
            if item.replica.id in self._seen:
                found[item.service_id].append(self._seen[item.replica.id])
        return {service: 100 * sum(values) / len(values) for service, values in found.items()}

    async def _ask(self, item: StoredReplica) -> float | None:
        try:
            url, transport = reach(item.replica.address or "", self._tls)
            async with httpx.AsyncClient(
                transport=transport,
                base_url=url,
                headers={"Authorization": f"Bearer {item.token}"} if item.token else None,
                timeout=_TIMEOUT_SECONDS,
                trust_env=False,
            ) as http:
                answer = await http.get("/metrics")
        except (httpx.HTTPError, httpx.InvalidURL, UnavailableError, ValueError):
            return None
        return self.read(answer.text) if answer.is_success else None

    def read(self, text: str) -> float | None:
        """The share in use that an exposition tells, 0..1; the mean where an engine has several caches."""
        for pattern in self._patterns:
            values = [float(value) for value in pattern.findall(text)]
            if values:
                return sum(values) / len(values)
        return None
