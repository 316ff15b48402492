"""Files of a project: what batches read and what they write."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.value import Value

MAX_FILE_BYTES = 200 * 2**20
"""As large as the input of a batch may be."""


class FilePurpose(StrEnum):
    """What a file is for: `batch` is sent by a user, `batch_output` is written by the platform."""

    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


class File(Value):
    """A file that came whole; it never changes."""

    id: str
    project: str
    purpose: FilePurpose
    filename: str
    size_bytes: int
    created_by: str | None = Field(default=None, description="a user, a key as `key <id>`, or a batch")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = Field(default=None, description="when it is removed; None: never")
