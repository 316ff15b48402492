"""Rules of answers that are kept and given again: one a project and public model name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.value import Request, Value

LONGEST_TTL = 30 * 24 * 3600
MOST_ENTRIES = 100_000


class CacheMode(StrEnum):
    """`measure` answers the very same request from the cache, and only counts what likeness would have answered."""

    OFF = "off"
    ON = "on"
    MEASURE = "measure"


class CacheRuleSet(Request):
    """How a project's answers of a model are kept."""

    mode: CacheMode = CacheMode.ON
    ttl_seconds: int = Field(default=3600, ge=1, le=LONGEST_TTL, description="how long an answer is given again")
    embedding_model: str | None = Field(
        default=None,
        description="public name of the embedding model that says which questions are alike; None: only the very same "
        "request is answered",
    )
    threshold: float = Field(default=0.95, ge=0.9, le=1.0, description="least cosine of questions that are alike")
    max_entries: int = Field(default=10_000, ge=1, le=MOST_ENTRIES, description="answers kept by one gateway")
    any_temperature: bool = Field(
        default=False, description="whether answers of requests are kept that do not say `temperature` 0"
    )


class CacheRule(Value):
    """A rule as it is kept. `generation` counts how often its answers were thrown away by hand."""

    project: str
    model: str = Field(description="public model name")
    mode: CacheMode
    ttl_seconds: int
    embedding_model: str | None = None
    threshold: float
    max_entries: int
    any_temperature: bool
    generation: int = 1
    set_at: AwareDatetime
    set_by: str | None = None


class CacheStats(Value):
    """What the cache of one project and model did. Measured are answers that likeness would have given."""

    project: str
    model: str
    lookups: int = Field(description="requests that could have been answered from the cache")
    exact_hits: int = Field(description="answered as the very same request before")
    semantic_hits: int = Field(description="answered as a like question before")
    saved_tokens: int = Field(description="what engines took when they gave these answers first")
    agreed: int = Field(default=0, description="measured: the engine said the same")
    disagreed: int = Field(default=0, description="measured: the engine said something else")
    gated: int = Field(default=0, description="measured: near by its vector, and refused for its words")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheQuery:
    """Which hours count; None is no limit. `since` and `until` have a time zone."""

    project: str | None = None
    since: datetime | None = None
    until: datetime | None = None
