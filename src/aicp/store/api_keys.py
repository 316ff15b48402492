"""API keys: everything but the secret."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import JSON, ColumnElement, String, Text, cast, func, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.api_key import ApiKey, KeyState
from aicp.core.route import KeyEntry
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.limits import limits_entry
from aicp.store.sorting import order_by

KeyPurpose = Literal["application", "playground"]
"""`playground` keys are made and held by the platform for a user's tries in the console; nobody sees their secret."""
SORTS = ("name", "project", "created_at", "last_used_at", "expires_at")


class ApiKeyRow(Base):
    """Never deleted, so that usage keeps its name; `revoked_at` ends it."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    project: Mapped[str] = mapped_column(String(63), index=True)
    prefix: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(20))
    models: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    expires_at: Mapped[datetime | None]
    limits: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    priority: Mapped[str] = mapped_column(String(20), default="default")
    weight: Mapped[float] = mapped_column(default=1.0)
    networks: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    max_output_tokens: Mapped[int | None]
    defaults: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    tags: Mapped[list[Any]] = mapped_column(JSON, default=list)
    rotated_at: Mapped[datetime | None]
    previous_digest: Mapped[str | None] = mapped_column(String(64))
    previous_until: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(63))


class ApiKeys:
    """Queries over keys."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, key_id: str) -> ApiKey | None:
        """The key, revoked or not; playground keys are not found."""
        row = await self._session.get(ApiKeyRow, key_id)
        return _value(row) if row and row.purpose == "application" else None

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        search: str | None = None,
        model: str | None = None,
        tag: str | None = None,
        state: KeyState | None = None,
        now: datetime | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[ApiKey]:
        """Keys of `projects` (None: all), or of them those in `state` at `now`.

        `model` leaves those that are limited to it, or to it and others; `tag` those that have it.

        `sort` is one of SORTS, with `-` for falling order.
        """
        query = select(ApiKeyRow).where(ApiKeyRow.purpose == "application")
        if projects is not None:
            query = query.where(ApiKeyRow.project.in_(projects))
        if search:
            query = query.where(
                ApiKeyRow.name.icontains(search, autoescape=True)
                | ApiKeyRow.prefix.icontains(search, autoescape=True)
                | (ApiKeyRow.id == search)
            )
        if model is not None:
            query = query.where(cast(ApiKeyRow.models, Text).contains(json.dumps(model), autoescape=True))
        if tag is not None:
            query = query.where(cast(ApiKeyRow.tags, Text).contains(json.dumps(tag), autoescape=True))
        if state is not None:
            query = query.where(_in_state(state, now))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(
            query.order_by(*order_by(ApiKeyRow, sort, SORTS)).offset(offset).limit(limit)
        )
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def entries(self, now: datetime) -> list[KeyEntry]:
        """Every key that holds `now`, as the gateway needs it; ordered, so that equal states give equal tables."""
        query = select(ApiKeyRow).where(
            ApiKeyRow.revoked_at.is_(None), or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now)
        )
        return [_entry(row, now) for row in await self._session.scalars(query.order_by(ApiKeyRow.id))]

    async def limited(
        self, now: datetime, projects: Collection[str] | None = None, ids: Collection[str] = ()
    ) -> list[ApiKey]:
        """Keys that hold `now` and have limits, by name: of `projects` (None: all) and, unless empty, `ids`."""
        query = select(ApiKeyRow).where(ApiKeyRow.purpose == "application", _in_state(KeyState.ACTIVE, now))
        if projects is not None:
            query = query.where(ApiKeyRow.project.in_(projects))
        if ids:
            query = query.where(ApiKeyRow.id.in_(ids))
        rows = await self._session.scalars(query.order_by(ApiKeyRow.name, ApiKeyRow.id))
        return [_value(row) for row in rows if row.limits]

    async def tags(self) -> dict[str, list[str]]:
        """The tags of all keys that have some, by the key's id."""
        rows = await self._session.execute(select(ApiKeyRow.id, ApiKeyRow.tags))
        return {key_id: list(tags) for key_id, tags in rows if tags}

    async def create(self, key: ApiKey, digest: str, purpose: KeyPurpose = "application") -> None:
        """Adds a key."""
        columns = _columns({name: getattr(key, name) for name in ApiKey.model_fields})
        self._session.add(ApiKeyRow(**columns, digest=digest, purpose=purpose))
        await self._session.flush()

    async def update(self, key_id: str, changes: Mapping[str, Any]) -> None:
        """Sets fields by name."""
        if changes:
            await self._session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(**_columns(changes)))

    async def rotate(self, key_id: str, digest: str, now: datetime, until: datetime) -> None:
        """Puts a new secret's digest in place; the old one's is kept until `until`."""
        values = {"digest": digest, "previous_digest": ApiKeyRow.digest, "previous_until": until, "rotated_at": now}
        await self._session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(values))

    async def revoke_project(self, project: str, now: datetime) -> None:
        """Ends all keys of a project."""
        await self._session.execute(
            update(ApiKeyRow).where(ApiKeyRow.project == project, ApiKeyRow.revoked_at.is_(None)).values(revoked_at=now)
        )

    async def revoke_playground(self, now: datetime, user: str | None = None) -> int:
        """Ends the playground keys of a user (None: of all). Answers how many."""
        query = update(ApiKeyRow).where(ApiKeyRow.purpose == "playground", ApiKeyRow.revoked_at.is_(None))
        if user is not None:
            query = query.where(ApiKeyRow.created_by == user)
        ended = await self._session.scalars(query.values(revoked_at=now).returning(ApiKeyRow.id))
        return len(ended.all())

    async def touch(self, used: Mapping[str, datetime]) -> None:
        """Notes the last use of keys; a late report of an earlier use changes nothing."""
        for key_id, at in sorted(used.items()):
            await self._session.execute(
                update(ApiKeyRow)
                .where(ApiKeyRow.id == key_id, or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at < at))
                .values(last_used_at=at)
            )


def _in_state(state: KeyState, now: datetime | None) -> ColumnElement[bool]:
    over = ApiKeyRow.expires_at <= now
    if state is KeyState.REVOKED:
        return ApiKeyRow.revoked_at.is_not(None)
    if state is KeyState.EXPIRED:
        return ApiKeyRow.revoked_at.is_(None) & over
    return ApiKeyRow.revoked_at.is_(None) & (ApiKeyRow.expires_at.is_(None) | ~over)


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as columns keep them: of what has parts only those that are set."""
    columns = dict(fields)
    for name in ("limits", "defaults"):
        if name in columns:
            columns[name] = columns[name].model_dump(mode="json", exclude_none=True)
    if "priority" in columns:
        columns["priority"] = columns["priority"].value
    return columns


def _entry(row: ApiKeyRow, now: datetime) -> KeyEntry:
    overlaps = row.previous_until is not None and row.previous_until > now
    return KeyEntry(
        id=row.id,
        digest=row.digest,
        project=row.project,
        models=row.models,
        expires_at=row.expires_at.timestamp() if row.expires_at else None,
        priority=row.priority,
        weight=row.weight,
        networks=row.networks,
        limits=limits_entry(row.limits),
        max_output_tokens=row.max_output_tokens,
        defaults=row.defaults or None,
        previous_digest=row.previous_digest if overlaps else None,
        previous_until=row.previous_until.timestamp() if overlaps and row.previous_until else 0.0,
    )


def _value(row: ApiKeyRow) -> ApiKey:
    return ApiKey.model_validate(row, from_attributes=True)
