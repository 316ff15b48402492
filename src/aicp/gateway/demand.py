"""What is asked of services that scale themselves, as the control plane wants to know it."""

from __future__ import annotations

from collections.abc import Callable

from aicp.core.clock import Clock
from aicp.gateway.exposition import running, waits
from aicp.gateway.loads import Load
from aicp.gateway.metrics import Metrics
from aicp.gateway.routes import Routes
from aicp.gateway.sleepers import Sleepers


class Demand:
    """Counts are looked at once a second: requests pay nothing for it."""

    def __init__(
        self, routes: Routes, metrics: Metrics, loads: Callable[[], list[Load]], sleepers: Sleepers, clock: Clock
    ) -> None:
        self._routes, self._metrics, self._loads, self._sleepers, self._clock = routes, metrics, loads, sleepers, clock
        self._begun: dict[str, int] = {}
        self._used: dict[str, float] = {}

    def report(self) -> dict[str, dict[str, float]]:
        """By service, what `aicp.core.gateway.ServiceLoad` says of it."""
        held, table = self._sleepers.held(), self._routes.table
        names = set(held) | {route.service for route in (table.routes if table else ()) if route.entry.scales}
        if not names:
            return {}
        loads = self._loads()
        queued, at_work = _by_service(waits(loads)), _by_service(running(self._metrics, loads))
        begun: dict[str, int] = {}
        for (service, _), series in self._metrics.all.items():
            begun[service] = begun.get(service, 0) + series.requests + series.open
        now = self._clock.now().timestamp()
        for service in names:
            number = begun.get(service, 0)
            busy = queued.get(service) or at_work.get(service) or held.get(service)
            if busy or number != self._begun.get(service, 0):
                self._used[service] = now
            self._begun[service] = number
        return {
            service: {
                "queued": queued.get(service, 0),
                "running": at_work.get(service, 0),
                "held": held.get(service, 0),
                "used_at": self._used.get(service, 0.0),
            }
            for service in sorted(names)
        }


def _by_service(counts: dict[tuple[str, str], int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for (service, _), number in counts.items():
        sums[service] = sums.get(service, 0) + number
    return sums
