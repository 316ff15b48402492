"""Uploads; how much of each file came is what the file on the disk says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, String, Text, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import NotFoundError
from aicp.core.job import FINISHED_JOB_STATES, JobState
from aicp.core.upload import Upload, UploadFile, UploadState
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.jobs import JobRow


class UploadRow(Base):
    """`files` holds path, size_bytes and sha256 of each announced file; its position is its name on the disk."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(63), index=True)
    state: Mapped[str] = mapped_column(String(16))
    files: Mapped[list[Any]]
    job_id: Mapped[str | None] = mapped_column(String(40))
    error: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(String(100), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


_KEEPS_FILES = UploadRow.state != UploadState.IMPORTED


class Uploads:
    """Queries over uploads."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def create(self, upload: Upload) -> None:
        """A new upload."""
        fields = upload.model_dump(exclude={"files"})
        files = [file.model_dump(exclude={"offset"}) for file in upload.files]
        self._session.add(UploadRow(**fields, files=files))
        await self._session.flush()

    async def get(self, upload_id: str) -> Upload:
        """An upload, all offsets 0. Raises NotFoundError."""
        row = await self._session.get(UploadRow, upload_id, populate_existing=True)
        if row is None:
            raise NotFoundError(f"There is no upload {upload_id!r}.", hint="It may have expired.")
        return await self._as_now(row)

    async def _as_now(self, row: UploadRow) -> Upload:
        upload = _upload(row)
        if upload.state is not UploadState.CHECKING or upload.job_id is None:
            return upload
        # Whose check was canceled, or failed at something else than the files, is not being checked any more.
        job = await self._session.get(JobRow, upload.job_id, populate_existing=True)
        if job is None or job.state not in FINISHED_JOB_STATES or job.state == JobState.SUCCEEDED:
            return upload
        error = (job.error or {}).get("message") or "The check did not end."
        return upload.model_copy(update={"state": UploadState.REFUSED, "error": error})

    async def list(
        self, created_by: str, at: datetime, *, projects: Collection[str] | None, offset: int, limit: int
    ) -> Page[Upload]:
        """A user's uploads whose life has not ended, newest first, all offsets 0."""
        query = select(UploadRow).where(UploadRow.created_by == created_by, UploadRow.expires_at >= at)
        if projects is not None:
            query = query.where(UploadRow.project.in_(projects))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(UploadRow.created_at.desc(), UploadRow.id.desc()).offset(offset).limit(limit)
        )
        uploads = [await self._as_now(row) for row in rows.all()]
        return Page(items=uploads, total=total or 0, offset=offset, limit=limit)

    async def count(self, created_by: str) -> int:
        """How many uploads a user has that were not imported."""
        query = select(func.count()).select_from(UploadRow).where(UploadRow.created_by == created_by, _KEEPS_FILES)
        return await self._session.scalar(query) or 0

    async def move(
        self, upload_id: str, current: UploadState, wanted: UploadState, *, job_id: str | None = None, error: str = ""
    ) -> bool:
        """Moves an upload from `current` to `wanted`; False when it is in another state."""
        values: dict[str, Any] = {"state": wanted, "error": error or None}
        if job_id is not None:
            values["job_id"] = job_id
        query = update(UploadRow).where(UploadRow.id == upload_id, UploadRow.state == current).values(**values)
        result = await self._session.execute(query.execution_options(synchronize_session=False))
        assert isinstance(result, CursorResult)
        return result.rowcount == 1

    async def imported(self, upload_id: str) -> None:
        """A version was made of an upload; its files are needed no longer. An unknown one is no error."""
        query = update(UploadRow).where(UploadRow.id == upload_id).values(state=UploadState.IMPORTED, error=None)
        await self._session.execute(query.execution_options(synchronize_session=False))

    async def extend(self, upload_id: str, expires_at: datetime) -> None:
        """Moves the end of an upload's life on."""
        await self._session.execute(update(UploadRow).where(UploadRow.id == upload_id).values(expires_at=expires_at))

    async def delete(self, upload_id: str) -> None:
        """Removes an upload; an unknown one is no error."""
        row = await self._session.get(UploadRow, upload_id)
        if row is not None:
            await self._session.delete(row)
            await self._session.flush()

    async def expired(self, at: datetime) -> Sequence[str]:
        """Ids of uploads whose life ended."""
        return list(await self._session.scalars(select(UploadRow.id).where(UploadRow.expires_at < at)))

    async def ids(self) -> set[str]:
        """Ids of all uploads whose files are still needed."""
        return set(await self._session.scalars(select(UploadRow.id).where(_KEEPS_FILES)))


def _upload(row: UploadRow) -> Upload:
    return Upload(
        id=row.id,
        project=row.project,
        state=UploadState(row.state),
        files=[UploadFile.model_validate(file) for file in row.files],
        job_id=row.job_id,
        error=row.error,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
