"""Single requests: their usage records, and whether their bodies are kept."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, select, tuple_

from aicp.core.errors import InvalidError
from aicp.core.request_log import LoggedRequest, RequestPage, RequestQuery
from aicp.store.api_keys import ApiKeyRow
from aicp.store.database import Transaction
from aicp.store.request_bodies import RequestBodyRow
from aicp.store.usage import FINE_OUTCOMES, UsageRecordRow


class Requests:
    """Queries over requests. `projects` limits to these (None: all)."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, request_id: str) -> LoggedRequest | None:
        """One request."""
        row = (await self._session.execute(_all().where(UsageRecordRow.request_id == request_id))).first()
        return None if row is None else _value(row)

    async def page(
        self,
        which: RequestQuery,
        *,
        projects: Collection[str] | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> RequestPage:
        """What follows the request `before`, newest first. Raises InvalidError when that is none."""
        query = _all().where(*_conditions(which, projects))
        if before is not None:
            last = await self._session.get(UsageRecordRow, before)
            if last is None:
                raise InvalidError(
                    f"There is no request {before!r} to go on from.", hint="Begin again without `before`."
                )
            place = tuple_(UsageRecordRow.started_at, UsageRecordRow.request_id)
            query = query.where(place < (last.started_at, last.request_id))
        newest_first = query.order_by(UsageRecordRow.started_at.desc(), UsageRecordRow.request_id.desc())
        # One more than asked for tells whether there is a page after this one.
        rows = (await self._session.execute(newest_first.limit(limit + 1))).all()
        items = [_value(row) for row in rows[:limit]]
        return RequestPage(items=items, next=items[-1].request_id if items and len(rows) > limit else None)


def _all() -> Any:
    kept = RequestBodyRow.request_id.is_not(None)
    return select(UsageRecordRow, kept).outerjoin(
        RequestBodyRow, RequestBodyRow.request_id == UsageRecordRow.request_id
    )


def _value(row: Any) -> LoggedRequest:
    record, has_body = row
    values = {column.key: getattr(record, column.key) for column in UsageRecordRow.__mapper__.column_attrs}
    return LoggedRequest(**values, has_body=has_body)


def _conditions(which: RequestQuery, projects: Collection[str] | None) -> list[ColumnElement[bool]]:
    exact = {
        UsageRecordRow.project: which.project,
        UsageRecordRow.api_key_id: which.api_key_id,
        UsageRecordRow.service: which.service,
        UsageRecordRow.outcome: which.outcome,
        UsageRecordRow.status: which.status,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in exact.items() if value is not None]
    if projects is not None:
        conditions.append(UsageRecordRow.project.in_(projects))
    if which.since is not None:
        conditions.append(UsageRecordRow.started_at >= which.since)
    if which.until is not None:
        conditions.append(UsageRecordRow.started_at < which.until)
    if which.request_id:
        conditions.append(UsageRecordRow.request_id.startswith(which.request_id, autoescape=True))
    if which.failed:
        conditions.append(UsageRecordRow.outcome.not_in([outcome.value for outcome in FINE_OUTCOMES]))
    if which.with_body:
        conditions.append(RequestBodyRow.request_id.is_not(None))
    if which.tag is not None:
        tagged = cast(ApiKeyRow.tags, Text).contains(json.dumps(which.tag), autoescape=True)
        conditions.append(UsageRecordRow.api_key_id.in_(select(ApiKeyRow.id).where(tagged)))
    return conditions
