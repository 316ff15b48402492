"""Bodies of requests, as gateways have redacted them, until their retention ends."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Index, LargeBinary, String, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.request_log import MOST_BODY_BYTES, BodyRecord, KeptBody
from aicp.store.database import Base, Transaction


class RequestBodyRow(Base):
    """The bodies of one request, compressed; its facts are its usage record's, which outlives them."""

    __tablename__ = "request_bodies"
    __table_args__ = (Index("ix_request_bodies_project_started_at", "project", "started_at"),)

    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    project: Mapped[str] = mapped_column(String(63))
    api_key_id: Mapped[str] = mapped_column(String(40))
    service: Mapped[str] = mapped_column(String(63))
    started_at: Mapped[datetime]
    request: Mapped[bytes | None] = mapped_column(LargeBinary)
    request_kind: Mapped[str] = mapped_column(String(100))
    request_bytes: Mapped[int] = mapped_column(BigInteger)
    request_cut: Mapped[bool]
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    answer_kind: Mapped[str] = mapped_column(String(100))
    answer_bytes: Mapped[int] = mapped_column(BigInteger)
    answer_cut: Mapped[bool]


class RequestBodies:
    """Queries over bodies."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def add(self, records: Iterable[BodyRecord]) -> None:
        """Keeps bodies; those of a request that is there already change nothing."""
        rows = [_row(record) for record in records]
        if rows:
            postgres = self._session.get_bind().dialect.name == "postgresql"
            insert = (postgresql if postgres else sqlite).insert(RequestBodyRow)
            await self._session.execute(insert.on_conflict_do_nothing(), rows)

    async def find(self, request_id: str) -> tuple[KeptBody, KeptBody] | None:
        """What was asked and what was answered, if it is still kept."""
        row = await self._session.get(RequestBodyRow, request_id)
        if row is None:
            return None
        return (
            _body(row.request, row.request_kind, row.request_bytes, row.request_cut),
            _body(row.answer, row.answer_kind, row.answer_bytes, row.answer_cut),
        )

    async def expire(self, project: str, before: datetime, limit: int) -> int:
        """Deletes at most `limit` of a project's that began before then; how many those were."""
        return await self._delete(limit, RequestBodyRow.project == project, RequestBodyRow.started_at < before)

    async def forget(self, project: str, limit: int) -> int:
        """Deletes at most `limit` of a project's; how many those were."""
        return await self._delete(limit, RequestBodyRow.project == project)

    async def forget_others(self, projects: Collection[str], limit: int) -> int:
        """Deletes at most `limit` of projects that are none of these; how many those were."""
        return await self._delete(limit, RequestBodyRow.project.not_in(projects))

    async def _delete(self, limit: int, *conditions: ColumnElement[bool]) -> int:
        some = select(RequestBodyRow.request_id).where(*conditions).limit(limit)
        names = list(await self._session.scalars(some))
        if names:
            statement = delete(RequestBodyRow).where(RequestBodyRow.request_id.in_(names))
            await self._session.execute(statement.execution_options(synchronize_session=False))
        return len(names)  # also those that another deletes just now: fewer than `limit` means that no more are left


def _row(record: BodyRecord) -> dict[str, Any]:
    """With texts that fit their columns: one odd record must not hold up what a gateway has to ship."""
    row = record.model_dump(include={column.key for column in RequestBodyRow.__table__.columns})
    for column in RequestBodyRow.__table__.columns:
        length, value = getattr(column.type, "length", None), row[column.key]
        if length and isinstance(value, str):
            row[column.key] = value.replace("\0", "")[:length]
    return row | {"request": record.request, "answer": record.answer}  # a dump writes them as text again


def _body(data: bytes | None, kind: str, size: int, cut: bool) -> KeptBody:
    text = None if data is None else zlib.decompressobj().decompress(data, 4 * MOST_BODY_BYTES)
    return KeptBody(text=None if text is None else text.decode(errors="replace"), kind=kind, bytes=size, cut=cut)
