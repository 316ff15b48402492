"""Metrics in Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from aicp.gateway.loads import Load
from aicp.gateway.metric_names import FAMILIES, PREFIX, Family
from aicp.gateway.metrics import Histogram, Metrics, Series

Labels = tuple[str, ...]
"""Values, in the order of the family's names."""
Sample = tuple[Labels, float | Histogram]
NOTHING: Mapping[str, Sequence[Sample]] = {}
_SERIES: Mapping[str, Callable[[Series], float | Histogram]] = {
    "time_to_first_token_seconds": lambda series: series.ttft,
    "inter_token_latency_seconds": lambda series: series.between,
    "e2e_request_latency_seconds": lambda series: series.whole,
    "request_queue_time_seconds": lambda series: series.queued,
    "prompt_tokens_total": lambda series: series.prompt_tokens,
    "generation_tokens_total": lambda series: series.completion_tokens,
    "prompt_tokens_cached_total": lambda series: series.cached_tokens,
}


def exposition(
    metrics: Metrics,
    loads: Sequence[Load],
    inflight: Mapping[str, int],
    gauges: Mapping[str, float],
    more: Mapping[str, Sequence[Sample]] = NOTHING,
) -> bytes:
    """Everything, with the routes' loads, requests in flight by replica, other present values by name, and `more`."""
    samples = {**_samples(metrics, loads, inflight, gauges), **more}
    lines: list[str] = []
    for family in FAMILIES:
        lines.append(f"# HELP {family.name} {_escaped_help(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for labels, value in sorted(samples.get(family.name.removeprefix(PREFIX), ()), key=lambda sample: sample[0]):
            lines.extend(_lines(family, labels, value))
    return "\n".join(lines).encode() + b"\n"


def running(metrics: Metrics, loads: Iterable[Load]) -> dict[tuple[str, str], int]:
    """Requests that were let in and do not wait, by service and class."""
    waiting = waits(loads)
    return {name: max(series.open - waiting.get(name, 0), 0) for name, series in metrics.all.items()}


def waits(loads: Iterable[Load]) -> dict[tuple[str, str], int]:
    """Requests that wait, by service and class."""
    waiting: dict[tuple[str, str], int] = {}
    for load in loads:
        for priority, number in load.waiting.items():
            name = (load.service, priority)
            waiting[name] = waiting.get(name, 0) + number
    return waiting


def _samples(
    metrics: Metrics, loads: Sequence[Load], inflight: Mapping[str, int], gauges: Mapping[str, float]
) -> dict[str, list[Sample]]:
    series = metrics.all
    limited = [load for load in loads if load.places is not None]
    samples: dict[str, list[Sample]] = {
        "requests_total": [((*name, *kind), n) for name, one in series.items() for kind, n in one.ended.items()],
        **{metric: [(name, read(one)) for name, one in series.items()] for metric, read in _SERIES.items()},
        "num_requests_running": list(running(metrics, loads).items()),
        "num_requests_waiting": list(waits(limited).items()),
        "places": [((load.route,), load.places or 0) for load in limited],
        "places_used": [((load.route,), load.taken) for load in limited],
        "replica_requests_running": [((name,), n) for name, n in inflight.items()],
        "requests_shed_total": list(metrics.waits.shed.items()),
        "num_preemptions_total": [((name,), n) for name, n in metrics.waits.preempted.items()],
    }
    plain = {
        "prefix_cache_queries_total": metrics.prefix_blocks,
        "prefix_cache_hits_total": metrics.prefix_hits,
        "prefix_spills_total": metrics.spills,
        "retries_total": metrics.retries,
        "fallbacks_total": metrics.fallbacks,
        "continuations_total": metrics.continuations,
        "wrong_keys_total": metrics.wrong_keys,
        **gauges,
    }
    return samples | {name: [((), value)] for name, value in plain.items()}


def _lines(family: Family, labels: Labels, value: float | Histogram) -> Iterable[str]:
    text = ",".join(f'{name}="{_escaped(label)}"' for name, label in zip(family.labels, labels, strict=True))
    shown = f"{{{text}}}" if text else ""
    if not isinstance(value, Histogram):
        yield f"{family.name}{shown} {value:.10g}"
        return
    number = 0
    for bound, more in zip((*map(str, value.bounds), "+Inf"), value.buckets, strict=True):
        number += more
        yield f'{family.name}_bucket{{{text},le="{bound}"}} {number}'
    yield family.name + "_sum" + shown + f" {value.total:.6f}"
    yield family.name + "_count" + shown + f" {value.count}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
