"""Metered consumption: exactly one record a request that reached an engine or was refused after the key check."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.value import Value


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    CANCELED = "canceled"
    ENGINE_ERROR = "engine_error"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"
    INTERRUPTED = "interrupted"


class UsageRecord(Value):
    """One request. Times are milliseconds; token counts are the engine's own, None where it gave none."""

    request_id: str
    api_key_id: str
    project: str
    service: str
    replica_id: str | None = None
    endpoint: str = Field(description="path such as /v1/chat/completions")
    stream: bool = False
    started_at: AwareDatetime
    duration_ms: float | None = None
    queue_ms: float | None = Field(default=None, description="time it waited for a place; None where it did not")
    ttft_ms: float | None = None
    status: int | None = None
    outcome: Outcome
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_micros: int | None = Field(
        default=None, description="millionths of the platform's currency; None where the model had no price"
    )
    cache: str | None = Field(
        default=None, description="`exact`, `semantic` or `miss` where the model has a cache for the project"
    )
    cache_model: str | None = Field(default=None, description="public model name whose cache was asked")
    saved_tokens: int | None = Field(
        default=None, description="what the engine took when it gave the answer that the cache has given again"
    )


class UsageBatch(Value):
    """Records shipped by a gateway; (gateway_id, sequence) makes a batch count once, request_id a record."""

    gateway_id: str
    sequence: int
    records: list[UsageRecord]


class UsageRow(Value):
    """Usage summed over a group (key, tag, project, service, day or hour)."""

    group: dict[str, str]
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_micros: int = Field(default=0, description="millionths of the platform's currency")
    unpriced: int = Field(default=0, description="requests that used tokens of a model without a price")
    ttft_ms_p50: float | None = None
    ttft_ms_p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Which requests count; None is no limit. `since` and `until` have a time zone, `until` itself is outside."""

    project: str | None = None
    api_key_id: str | None = None
    service: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
