"""Reports of several gateways, added up. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aicp.core.limits import Priority
from aicp.core.live import LiveReport, LiveUse
from aicp.core.traffic import TrafficRoute, TrafficRow

_CLASSES = frozenset(Priority)


@dataclass(slots=True)
class _Sum:
    requests: float = 0.0
    errors: float = 0.0
    prompt: float = 0.0
    completion: float = 0.0
    cached: float = 0.0
    running: int = 0
    waiting: int = 0
    ttft: list[int] = field(default_factory=list[int])


def traffic_rows(reports: Sequence[LiveReport]) -> list[TrafficRow]:
    """Requests by service and class, the classes in their order. Rates of gateways add up, whatever their windows."""
    sums: dict[tuple[str, Priority], _Sum] = defaultdict(_Sum)
    bounds = next((report.bounds for report in reports if report.bounds), [])
    for report in reports:
        for series in report.series:
            name = Priority(series.priority) if series.priority in _CLASSES else Priority.DEFAULT
            one = sums[series.service, name]
            one.requests += series.requests / report.seconds
            one.errors += series.errors / report.seconds
            one.prompt += series.prompt_tokens / report.seconds
            one.completion += series.completion_tokens / report.seconds
            one.cached += series.cached_tokens / report.seconds
            one.running += series.running
            one.waiting += series.waiting
            if report.bounds == bounds:  # gateways of two versions may count in two ways
                one.ttft = [a + b for a, b in zip(one.ttft or [0] * len(series.ttft), series.ttft, strict=True)]
    order = list(Priority)
    named = sorted(sums.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    return [_row(service, priority, one, bounds) for (service, priority), one in named]


def route_rows(reports: Iterable[LiveReport]) -> list[TrafficRoute]:
    """Places of routes. Every gateway gives all places of a replica away, so they do not add up; what is taken does."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for report in reports:
        for route in report.routes:
            places, used = found.get((route.route, route.service), (0, 0))
            found[route.route, route.service] = max(places, route.places), used + route.used
    return [
        TrafficRoute(route=route, service=service, places=places, used=used)
        for (route, service), (places, used) in sorted(found.items())
    ]


def used_by_scope(reports: Iterable[LiveReport]) -> dict[str, dict[str, int]]:
    """What counts against each limit: what the store said, which is the same everywhere, and what came on top."""
    parts: dict[str, dict[str, list[LiveUse]]] = defaultdict(lambda: defaultdict(list))
    for report in reports:
        for scope, limits in report.scopes.items():
            for name, use in limits.items():
                parts[scope][name].append(use)
    return {scope: {name: _total(uses) for name, uses in limits.items()} for scope, limits in parts.items()}


def percentile_ms(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The time within which `share` of the values lie, taken to be spread evenly between two bounds; None without any.

    What lies above the last bound counts as that.
    """
    wanted, reached = share * sum(counts), 0
    if not wanted:
        return None
    lower = 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if reached + count >= wanted:
            return round((lower + (bound - lower) * (wanted - reached) / count) * 1000, 1)
        reached += count
        lower = bound
    return round(lower * 1000, 1)


def _total(uses: Sequence[LiveUse]) -> int:
    return max(use.shared for use in uses) + sum(use.own for use in uses)


def _row(service: str, priority: Priority, one: _Sum, bounds: Sequence[float]) -> TrafficRow:
    return TrafficRow(
        service=service,
        priority=priority,
        requests_per_second=round(one.requests, 3),
        errors_per_second=round(one.errors, 3),
        prompt_tokens_per_second=round(one.prompt, 1),
        completion_tokens_per_second=round(one.completion, 1),
        cached_share=round(one.cached / one.prompt, 3) if one.prompt else None,
        ttft_ms_p50=percentile_ms(bounds, one.ttft, 0.5),
        ttft_ms_p95=percentile_ms(bounds, one.ttft, 0.95),
        running=one.running,
        waiting=one.waiting,
    )
