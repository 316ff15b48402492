"""Files on their way from a user's machine, in pieces that can be taken up again."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.value import Request, Value


class UploadState(StrEnum):
    """Life of an upload. `checked` and `refused` are the outcome of the job that reads what came.

    `imported`: a version was made of it; its files are gone and it counts no longer.
    """

    RECEIVING = "receiving"
    CHECKING = "checking"
    CHECKED = "checked"
    REFUSED = "refused"
    IMPORTED = "imported"


class UploadFileCreate(Request):
    """A file that will come: relative POSIX path, size, and its SHA-256 (hex) if the sender knows it."""

    path: str = Field(min_length=1, max_length=1024)
    size_bytes: int = Field(ge=0, le=2**50)
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class UploadCreate(Request):
    """A new upload."""

    project: str = "default"
    files: list[UploadFileCreate] = Field(min_length=1, max_length=10_000)


class UploadFile(Value):
    """A file of an upload; the next piece starts at `offset`, and it is complete when that is `size_bytes`."""

    path: str
    size_bytes: int
    sha256: str | None = None
    offset: int = 0


class Upload(Value):
    """An upload. It is removed at `expires_at`, which every piece moves on."""

    id: str
    project: str
    state: UploadState
    files: list[UploadFile]
    job_id: str | None = Field(default=None, description="the upload_check job, once all files are complete")
    error: str | None = None
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime


class UploadSummary(Value):
    """An upload in a list: how many files it has and how much of them came."""

    id: str
    project: str
    state: UploadState
    files: int
    size_bytes: int
    received_bytes: int
    job_id: str | None = None
    error: str | None = None
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime


class UploadOffset(Value):
    """Where the next piece of a file starts."""

    offset: int
    size_bytes: int
    complete: bool
