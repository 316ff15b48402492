"""Single requests: their usage records, and whether their bodies are kept."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, func, literal_column, select, tuple_

from aicp.core.errors import InvalidError
from aicp.core.request_log import LoggedRequest, RequestPage, RequestQuery
from aicp.store.api_keys import ApiKeyRow
from aicp.store.database import Transaction
from aicp.store.request_bodies import RequestBodyRow
from aicp.store.usage import FINE_OUTCOMES, UsageRecordRow

_MANY = 1000
_LAST = "\U0010ffff"
"""Behind every other character."""


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
        if which.request_id:
            query = query.where(await self._begins_with(which.request_id, projects))
        if before is not None:
            last = await self._session.get(UsageRecordRow, before)
            if last is None or (projects is not None and last.project not in projects):
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

    async def _begins_with(self, beginning: str, projects: Collection[str] | None) -> ColumnElement[bool]:
        """A whole id is found by its key alone: others hardly begin with it, and there are millions."""
        row = await self._session.get(UsageRecordRow, beginning)
        if row is not None and (projects is None or row.project in projects):
            return UsageRecordRow.request_id == beginning
        if self._session.get_bind().dialect.name == "sqlite":  # whose LIKE no index serves; texts compare by bytes
            between = UsageRecordRow.request_id >= beginning, UsageRecordRow.request_id < beginning + _LAST
            some = list(await self._session.scalars(select(UsageRecordRow.request_id).where(*between).limit(_MANY)))
            # few are looked up by id, and of many there will be enough among the newest
            share = literal_column("0.9" if len(some) == _MANY else "0.000000001")
            return and_(*(func.likelihood(bound, share) for bound in between))
        return UsageRecordRow.request_id.startswith(beginning, autoescape=True)


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
    if which.failed:
        conditions.append(UsageRecordRow.outcome.not_in([outcome.value for outcome in FINE_OUTCOMES]))
    if which.with_body:
        conditions.append(RequestBodyRow.request_id.is_not(None))
    if which.tag is not None:
        tagged = cast(ApiKeyRow.tags, Text).contains(json.dumps(which.tag), autoescape=True)
        conditions.append(UsageRecordRow.api_key_id.in_(select(ApiKeyRow.id).where(tagged)))
    return conditions
