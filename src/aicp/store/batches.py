"""Batches: one row a batch; its state moves only through `move`, which checks the legal transitions."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, String, Text, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.batch import (
    FINISHED_BATCH_STATES,
    Batch,
    BatchProblem,
    BatchState,
    RequestCounts,
    check_batch_transition,
)
from aicp.core.errors import NotFoundError
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.sorting import order_by

SORTS = ("id", "state", "model", "endpoint", "created_by", "created_at", "expires_at")


class BatchRow(Base):
    """`output_file_id` and `error_file_id` are set when it ends, in the transaction that makes the files' rows."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(63), index=True)
    api_key_id: Mapped[str] = mapped_column(String(40))
    endpoint: Mapped[str] = mapped_column(String(60))
    completion_window: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(16), index=True)
    input_file_id: Mapped[str] = mapped_column(String(40), index=True)
    output_file_id: Mapped[str | None] = mapped_column(String(40))
    error_file_id: Mapped[str | None] = mapped_column(String(40))
    model: Mapped[str | None] = mapped_column(String(200))
    total: Mapped[int] = mapped_column(default=0)
    completed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    problems: Mapped[list[Any]] = mapped_column(default=list)
    notes: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    waits_for: Mapped[str | None] = mapped_column(Text)
    output_seconds: Mapped[int | None]
    created_by: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    in_progress_at: Mapped[datetime | None]
    finalizing_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    expired_at: Mapped[datetime | None]
    cancelling_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]


class Batches:
    """Queries over batches."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def create(self, batch: Batch) -> None:
        """Adds a batch."""
        fields = batch.model_dump(mode="python", exclude={"metadata", "counts", "problems"})
        self._session.add(BatchRow(**fields, notes=batch.metadata, **batch.counts.model_dump(), problems=[]))
        await self._session.flush()

    async def get(self, batch_id: str) -> Batch:
        """A batch. Raises NotFoundError."""
        row = await self._session.get(BatchRow, batch_id, populate_existing=True)
        if row is None:
            raise NotFoundError(f"There is no batch {batch_id!r}.")
        return _value(row)

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        state: BatchState | None = None,
        search: str | None = None,
        after: str | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Batch]:
        """Batches of `projects` (None: all); `sort` is one of SORTS, with `-` for falling order.

        `after` leaves those that were made before the batch of that id.
        """
        query = select(BatchRow)
        if projects is not None:
            query = query.where(BatchRow.project.in_(projects))
        if state is not None:
            query = query.where(BatchRow.state == state)
        if search:
            query = query.where(
                BatchRow.model.icontains(search, autoescape=True)
                | (BatchRow.id == search)
                | (BatchRow.input_file_id == search)
            )
        if after is not None:  # an id begins with its time
            query = query.where(BatchRow.id < after)
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(*order_by(BatchRow, sort, SORTS)).offset(offset).limit(limit))
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def unfinished(self, project: str | None = None) -> builtins.list[Batch]:
        """Batches that have not ended, oldest first; of all projects or of one."""
        query = select(BatchRow).where(BatchRow.state.not_in(FINISHED_BATCH_STATES))
        if project is not None:
            query = query.where(BatchRow.project == project)
        return [_value(row) for row in await self._session.scalars(query.order_by(BatchRow.id))]

    async def reading(self, file_id: str) -> Sequence[str]:
        """Ids of batches that have not ended and read a file."""
        query = select(BatchRow.id).where(
            BatchRow.input_file_id == file_id, BatchRow.state.not_in(FINISHED_BATCH_STATES)
        )
        return list(await self._session.scalars(query))

    async def move(self, batch_id: str, current: BatchState, wanted: BatchState, at: datetime, **values: Any) -> bool:
        """Moves a batch and notes when; False when it is no longer in `current`. `values` are columns to set."""
        check_batch_transition(current, wanted)
        values |= {"state": wanted, f"{wanted.value}_at": at, "waits_for": None}
        return await self._update(batch_id, current, values)

    async def progress(self, batch_id: str, counts: RequestCounts, waits_for: str | None) -> None:
        """Notes how far a batch in progress is."""
        await self._update(batch_id, BatchState.IN_PROGRESS, {**counts.model_dump(), "waits_for": waits_for})

    async def _update(self, batch_id: str, state: BatchState, values: dict[str, Any]) -> bool:
        query = (
            update(BatchRow)
            .where(BatchRow.id == batch_id, BatchRow.state == state)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
        result = await self._session.execute(query)
        self._session.expire_all()
        assert isinstance(result, CursorResult)
        return result.rowcount == 1


def _value(row: BatchRow) -> Batch:
    columns = {column.key: getattr(row, column.key) for column in BatchRow.__mapper__.column_attrs}
    counts = RequestCounts(**{name: columns.pop(name) for name in RequestCounts.model_fields})
    problems = [BatchProblem.model_validate(problem) for problem in columns.pop("problems")]
    metadata = columns.pop("notes")
    return Batch(**columns, metadata=metadata, counts=counts, problems=problems)
