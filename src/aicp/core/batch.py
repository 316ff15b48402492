"""Batches: many requests in one file, worked off behind everybody else's."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum

from pydantic import AwareDatetime, Field, field_validator

from aicp.core.errors import ConflictError
from aicp.core.value import Request, Value

MAX_LINES = 50_000
MAX_LINE_BYTES = 16 * 2**20
MAX_METADATA = 16
_WINDOW = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST_WINDOW = timedelta(days=30)


class BatchEndpoint(StrEnum):
    """The gateway's addresses that a batch may call."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"
    EMBEDDINGS = "/v1/embeddings"
    RERANK = "/v1/rerank"
    SCORE = "/v1/score"


class BatchState(StrEnum):
    """Life of a batch. Owner of every transition: the batch loop, except the request to cancel."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


_S = BatchState
BATCH_TRANSITIONS: dict[BatchState, frozenset[BatchState]] = {
    _S.VALIDATING: frozenset({_S.FAILED, _S.IN_PROGRESS, _S.CANCELLING}),
    # failed: its key ended
    _S.IN_PROGRESS: frozenset({_S.FINALIZING, _S.EXPIRED, _S.CANCELLING, _S.FAILED}),
    _S.FINALIZING: frozenset({_S.COMPLETED}),
    _S.CANCELLING: frozenset({_S.CANCELLED}),
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
}
FINISHED_BATCH_STATES = frozenset(state for state, onward in BATCH_TRANSITIONS.items() if not onward)


def check_batch_transition(current: BatchState, wanted: BatchState) -> None:
    """Raises ConflictError when a batch may not move from `current` to `wanted`."""
    if wanted not in BATCH_TRANSITIONS[current]:
        raise ConflictError(f"A batch that is {current} cannot become {wanted}.")


def parse_window(text: str) -> timedelta:
    """`24h`, `90m` or `7d` as a duration. Raises ValueError for another form and for more than 30 days."""
    match = _WINDOW.fullmatch(text)
    window = int(match[1]) * _UNITS[match[2]] if match else timedelta()
    if not timedelta() < window <= _LONGEST_WINDOW:
        raise ValueError("write a number of minutes, hours or days up to 30 days, such as 24h")
    return window


class RequestCounts(Value):
    """Lines of a batch: how many there are, how many were answered, and how many ended in an error."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchProblem(Value):
    """Why a batch failed; `line` counts from 1 and is None where the whole file or batch is at fault."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Batch(Value):
    """One batch. `output_file_id` and `error_file_id` are there once it has ended and wrote such lines."""

    id: str
    project: str
    api_key_id: str = Field(description="the key that its requests are counted to and limited by")
    endpoint: BatchEndpoint
    completion_window: str
    state: BatchState
    input_file_id: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    model: str | None = Field(default=None, description="the model of its first line")
    counts: RequestCounts = RequestCounts()
    problems: list[BatchProblem] = []
    metadata: dict[str, str] = {}
    waits_for: str | None = Field(default=None, description="why no request is under way, in words")
    output_seconds: int | None = Field(default=None, description="life of its output files; None: for ever")
    created_by: str | None = None
    created_at: AwareDatetime
    expires_at: AwareDatetime
    in_progress_at: AwareDatetime | None = None
    finalizing_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    failed_at: AwareDatetime | None = None
    expired_at: AwareDatetime | None = None
    cancelling_at: AwareDatetime | None = None
    cancelled_at: AwareDatetime | None = None


class BatchCreate(Request):
    """A new batch over a file of purpose `batch`."""

    input_file_id: str = Field(max_length=40)
    endpoint: BatchEndpoint = BatchEndpoint.CHAT
    completion_window: str = Field(default="24h", description="how long it may take: minutes, hours or days, as 24h")
    metadata: dict[str, str] = Field(default={}, description="up to 16 names and texts of the caller's own")
    output_seconds: int | None = Field(
        default=None, ge=3600, le=2_592_000, description="life of its output files; None: for ever"
    )
    api_key_id: str = Field(max_length=40, description="the key that its requests are counted to and limited by")

    @field_validator("completion_window")
    @classmethod
    def _window(cls, value: str) -> str:
        parse_window(value)
        return value

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MAX_METADATA or any(len(name) > 64 or len(text) > 512 for name, text in value.items()):
            raise ValueError("at most 16 names of at most 64 characters, with texts of at most 512")
        return value
