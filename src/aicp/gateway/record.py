"""The usage record of one request, as the data plane writes it."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Record(msgspec.Struct, gc=False):
    """`aicp.core.usage.UsageRecord` as the data plane writes it; times in milliseconds."""

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
    outcome: str = "interrupted"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_micros: int | None = None
    cache: str | msgspec.UnsetType = msgspec.UNSET
    """What the cache of its model did; not even written where that has none. So are the other two."""
    cache_model: str | msgspec.UnsetType = msgspec.UNSET
    """Public name that the cache's rule is of."""
    saved_tokens: int | msgspec.UnsetType = msgspec.UNSET
    """What the engine took when it gave the kept answer."""


class Named(msgspec.Struct, gc=False):
    """All that is read of a record to know whose it is."""

    request_id: str


read_name = msgspec.json.Decoder(Named).decode
"""Raises msgspec.DecodeError for what is no record."""
