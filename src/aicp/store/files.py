"""Files of projects: their rows; the bytes lie in the data directory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import BigInteger, String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import NotFoundError
from aicp.core.file import File, FilePurpose
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.sorting import order_by

SORTS = ("id", "filename", "purpose", "size_bytes", "created_by", "created_at", "expires_at")


class FileRow(Base):
    """Made when all bytes are on the disk."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(63), index=True)
    purpose: Mapped[str] = mapped_column(String(20))
    filename: Mapped[str] = mapped_column(String(255))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class Files:
    """Queries over files."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def create(self, file: File) -> None:
        """Adds a file; one that is there already stays as it is."""
        if await self._session.get(FileRow, file.id) is None:
            self._session.add(FileRow(**file.model_dump()))
            await self._session.flush()

    async def get(self, file_id: str) -> File:
        """A file. Raises NotFoundError."""
        row = await self._session.get(FileRow, file_id)
        if row is None:
            raise NotFoundError(f"There is no file {file_id!r}.", hint="It may have been removed.")
        return _value(row)

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        purpose: FilePurpose | None = None,
        search: str | None = None,
        after: str | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[File]:
        """Files of `projects` (None: all); `sort` is one of SORTS, with `-` for falling order.

        `after` leaves those that were made before the file of that id, or after it where the order rises.
        """
        query = select(FileRow)
        if projects is not None:
            query = query.where(FileRow.project.in_(projects))
        if purpose is not None:
            query = query.where(FileRow.purpose == purpose)
        if search:
            query = query.where(FileRow.filename.icontains(search, autoescape=True) | (FileRow.id == search))
        if after is not None:  # an id begins with its time
            query = query.where(FileRow.id < after if sort.startswith("-") else FileRow.id > after)
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(*order_by(FileRow, sort, SORTS)).offset(offset).limit(limit))
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def bytes_of(self, project: str) -> int:
        """What all files of a project hold together."""
        query = select(func.coalesce(func.sum(FileRow.size_bytes), 0)).where(FileRow.project == project)
        return int(await self._session.scalar(query) or 0)

    async def delete(self, file_id: str) -> None:
        """Removes the row; an unknown one is no error."""
        row = await self._session.get(FileRow, file_id)
        if row is not None:
            await self._session.delete(row)
            await self._session.flush()

    async def expired(self, at: datetime) -> Sequence[str]:
        """Ids of files whose life has ended."""
        return list(await self._session.scalars(select(FileRow.id).where(FileRow.expires_at < at)))

    async def ids(self) -> set[str]:
        """Ids of all files."""
        return set(await self._session.scalars(select(FileRow.id)))


def _value(row: FileRow) -> File:
    return File.model_validate(row, from_attributes=True)
