"""Every metric of /metrics: its name, what it counts and how. The reference page is written from here.

Names are those of the field where it has one: what vLLM and llm-d call `num_requests_waiting` or
`time_to_first_token_seconds` is called so here, behind `aicp_gateway_`.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "aicp_gateway_"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `kind` is Prometheus' type; `labels` are the names beside a histogram's `le`."""

    name: str
    kind: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()


_SERIES = ("service", "class")
_CACHE = ("project", "model")
FAMILIES = tuple(
    Family(PREFIX + name, kind, unit, text, labels)
    for name, kind, unit, text, labels in (
        (
            "requests_total",
            "counter",
            "requests",
            "Requests that have ended, by outcome: ok, canceled, rejected, unavailable, engine_error or interrupted.",
            (*_SERIES, "endpoint", "outcome"),
        ),
        (
            "time_to_first_token_seconds",
            "histogram",
            "seconds",
            "From the whole request to the first piece of a streamed answer, waiting included.",
            _SERIES,
        ),
        (
            "inter_token_latency_seconds",
            "histogram",
            "seconds",
            "Time between two tokens of a streamed answer: the mean of each answer, which counts once.",
            _SERIES,
        ),
        (
            "e2e_request_latency_seconds",
            "histogram",
            "seconds",
            "From the whole request to the end of its answer, refused requests included.",
            _SERIES,
        ),
        (
            "request_queue_time_seconds",
            "histogram",
            "seconds",
            "How long requests stood in the gateway's queue that found no place free and got one; the others are not "
            "counted.",
            _SERIES,
        ),
        ("prompt_tokens_total", "counter", "tokens", "Input tokens, as engines count them.", _SERIES),
        ("generation_tokens_total", "counter", "tokens", "Output tokens, as engines count them.", _SERIES),
        (
            "prompt_tokens_cached_total",
            "counter",
            "tokens",
            "Input tokens that engines had in their prefix caches, as they tell it.",
            _SERIES,
        ),
        (
            "num_requests_running",
            "gauge",
            "requests",
            "Requests that were let in and are not over; those that wait are not among them.",
            _SERIES,
        ),
        ("num_requests_waiting", "gauge", "requests", "Requests that wait for a place.", _SERIES),
        (
            "places",
            "gauge",
            "requests",
            "How many requests a route's replicas compute at once; a route whose replicas do not say so is left out.",
            ("route",),
        ),
        (
            "places_used",
            "gauge",
            "requests",
            "Places that are taken. Its share of `places` is how saturated a route is.",
            ("route",),
        ),
        ("replica_requests_running", "gauge", "requests", "Requests in flight at a replica.", ("replica",)),
        (
            "requests_shed_total",
            "counter",
            "requests",
            "Requests that got no place: deadline, draining, key_gone, memory, queue_full, route_gone or slo.",
            ("class", "reason"),
        ),
        (
            "num_preemptions_total",
            "counter",
            "requests",
            "Requests that gave their place to a higher class before their answer began, and waited again.",
            ("class",),
        ),
        (
            "prefix_cache_queries_total",
            "counter",
            "blocks",
            "Blocks of prompts that were looked up in what replicas are thought to hold.",
            (),
        ),
        (
            "prefix_cache_hits_total",
            "counter",
            "blocks",
            "Those of them that the chosen replica is thought to hold.",
            (),
        ),
        (
            "prefix_spills_total",
            "counter",
            "requests",
            "Requests that went elsewhere because the replica with their prefix was too busy.",
            (),
        ),
        ("retries_total", "counter", "requests", "Tries at another replica after one that failed.", ()),
        ("fallbacks_total", "counter", "requests", "Requests that went on to another destination of their route.", ()),
        (
            "continuations_total",
            "counter",
            "requests",
            "Streams that went on at another replica when theirs died.",
            (),
        ),
        ("wrong_keys_total", "counter", "requests", "Requests whose key was none, or no longer one.", ()),
        (
            "cache_events_total",
            "counter",
            "events",
            "What caches of answers did: lookups, hits, misses, what was kept or thrown away, by result.",
            (*_CACHE, "result"),
        ),
        ("cache_entries", "gauge", "answers", "Answers that a cache holds.", _CACHE),
        ("cache_vectors", "gauge", "questions", "Those of them whose question can be found by likeness.", _CACHE),
        ("cache_bytes", "gauge", "bytes", "Memory that a cache's answers take.", _CACHE),
        ("cache_likeness_ready", "gauge", "1 or 0", "Whether a cache looks for likeness at present.", _CACHE),
        ("spans_exported_total", "counter", "spans", "Spans that the collector of traces has taken.", ()),
        (
            "spans_dropped_total",
            "counter",
            "spans",
            "Spans that were thrown away because the collector did not take them, or not as fast as they came.",
            (),
        ),
        (
            "request_bodies_dropped_total",
            "counter",
            "bodies",
            "Bodies for the request log that were thrown away: too many at once, no disk space, or refused by control.",
            (),
        ),
        ("connections", "gauge", "connections", "Open connections of clients.", ()),
        ("requests_most", "gauge", "requests", "Requests that can be under way at once.", ()),
        (
            "usage_segments_waiting",
            "gauge",
            "files",
            "Parts of the usage log on disk that the control plane has not counted yet.",
            (),
        ),
        ("usage_writable", "gauge", "1 or 0", "Whether usage can be written; nothing is served while it cannot.", ()),
        (
            "route_table_kept",
            "gauge",
            "1 or 0",
            "Whether the route table in use is on disk, for a start without a control plane.",
            (),
        ),
        ("compiled", "gauge", "1 or 0", "Whether the gateway runs in its compiled form.", ()),
        ("control_silent_seconds", "gauge", "seconds", "Since when the control plane has not answered.", ()),
        (
            "coordinator_connected",
            "gauge",
            "1 or 0",
            "Whether the coordinator of shared limits answers; without it each process holds to its share, or refuses.",
            (),
        ),
        ("coordinator_processes", "gauge", "processes", "Gateway processes that are known to share limits.", ()),
    )
)
