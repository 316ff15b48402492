"""Limits on what a key, a project or an organization may consume through the gateways."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from aicp.core.price import Money
from aicp.core.value import Request

_MOST = 10**15


class Priority(StrEnum):
    """Class of a request: a higher one is served first when replicas are busy."""

    CRITICAL = "critical"
    INTERACTIVE = "interactive"
    DEFAULT = "default"
    BATCH = "batch"


class Limits(Request):
    """What may be consumed; None is no limit. Minutes slide; days and months are those of UTC.

    Limits of a key, its project and its organization hold together: the strictest rules. Requests over a limit are
    refused with 429, those in flight are never cut.
    """

    rpm: int | None = Field(default=None, ge=1, le=_MOST, description="requests per minute")
    tpm: int | None = Field(default=None, ge=1, le=_MOST, description="tokens per minute, input and output together")
    input_tpm: int | None = Field(default=None, ge=1, le=_MOST, description="input tokens per minute")
    output_tpm: int | None = Field(default=None, ge=1, le=_MOST, description="output tokens per minute")
    concurrency: int | None = Field(default=None, ge=1, le=_MOST, description="requests at the same time")
    tokens_per_day: int | None = Field(default=None, ge=1, le=_MOST, description="tokens in a day (UTC)")
    tokens_per_month: int | None = Field(default=None, ge=1, le=_MOST, description="tokens in a month (UTC)")
    budget_per_day: Money | None = Field(default=None, gt=0, description="money in a day (UTC), by the models' prices")
    budget_per_month: Money | None = Field(default=None, gt=0, description="money in a month (UTC)")
