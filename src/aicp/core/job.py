"""Finite work with progress, cancel and a result."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime

from aicp.core.errors import ConflictError
from aicp.core.value import Value


class JobState(StrEnum):
    """Life of a job. Owner of every transition: the reconcile loop, except the request to cancel."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELED, JobState.FAILED}),
    # back to queued: the control plane died and takes the job up again
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELED: frozenset(),
}
FINISHED_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})


def check_job_transition(current: JobState, wanted: JobState) -> None:
    """Raises ConflictError when a job may not move from `current` to `wanted`."""
    if wanted not in JOB_TRANSITIONS[current]:
        raise ConflictError(f"A job that is {current} cannot become {wanted}.")


class JobProgress(Value):
    """How far a job is. `done` and `total` are in `unit` (bytes, packages, files); total None when unknown."""

    phase: str = ""
    done: float = 0
    total: float | None = None
    unit: str = "bytes"
    rate: float | None = None
    seconds_left: float | None = None
    message: str | None = None


class Job(Value):
    """One piece of finite work: `kind` is model_import, upload_check or engine_install."""

    id: str
    kind: str
    title: str
    project: str | None = None
    state: JobState
    progress: JobProgress = JobProgress()
    parameters: dict[str, Any] = {}
    result: dict[str, Any] = {}
    error: dict[str, Any] | None = None
    cancel_requested: bool = False
    attempts: int = 0
    created_by: str | None = None
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
