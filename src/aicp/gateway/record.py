"""The usage record of one request, as the data plane writes it."""

from __future__ import annotations

from datetime import datetime

import msgspec


def _interrupted() -> str:
    return "interrupted"


class Record(msgspec.Struct, gc=False, omit_defaults=True):
    """`aicp.core.usage.UsageRecord` as the data plane writes it: what is None is not written. Times in milliseconds."""

    request_id: str
    api_key_id: str
    project: str
    service: str
    endpoint: str
    stream: bool
    started_at: datetime
    replica_id: str | None = None
    duration_ms: float | None = None
    queue_ms: float | None = None
    ttft_ms: float | None = None
    status: int | None = None
    outcome: str = msgspec.field(default_factory=_interrupted)
    """Always written, for which it has a factory: the control plane demands it."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_micros: int | None = None
    cache: str | None = None
    """What the cache of its model did; None where that has none. So are the other two."""
    cache_model: str | None = None
    """Public name that the cache's rule is of."""
    saved_tokens: int | None = None
    """What the engine took when it gave the kept answer."""


class Named(msgspec.Struct, gc=False):
    """All that is read of a record to know whose it is."""

    request_id: str


read_name = msgspec.json.Decoder(Named).decode
"""Raises msgspec.DecodeError for what is no record."""
