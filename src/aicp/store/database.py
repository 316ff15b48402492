"""The database behind the store: SQLite (WAL) embedded, or PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import DateTime, MetaData, event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import JSON, TypeDecorator

from aicp.core.errors import AicpError, NoSpaceError, UnavailableError

_NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time. SQLite keeps no zone, so UTC is written and given back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all rows."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Transaction:
    """One unit of work. Query classes of the store take it: `Models(tx).find(name)`."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session


class Database:
    """Opens transactions. `url` is `sqlite+aiosqlite:///path` or `postgresql+asyncpg://...`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine: AsyncEngine = create_async_engine(url, pool_size=10, max_overflow=20)
        if self.is_sqlite:
            _configure_sqlite(self._engine)

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    async def create_all(self) -> None:
        """Makes all tables without migrations (tests of queries)."""
        async with self._engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    async def close(self) -> None:
        """Gives all connections back."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Reads and writes; commits at the end, rolls back on any error. Keep the network out of it."""
        async with self._session(readonly=False) as tx:
            yield tx

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Reads only; never waits for a writer on SQLite."""
        async with self._session(readonly=True) as tx:
            yield tx

    @asynccontextmanager
    async def _session(self, *, readonly: bool) -> AsyncIterator[Transaction]:
        engine = self._engine.execution_options(aicp_readonly=readonly)
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                yield Transaction(session)
        except DBAPIError as error:
            raise _explain(error) from error
        except ConnectionError as error:
            raise UnavailableError("The database does not answer.", hint="Try again in a moment.") from error


def _configure_sqlite(engine: AsyncEngine) -> None:
    def on_connect(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would hide ours
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def on_begin(connection: Any) -> None:
        # A deferred transaction that reads and then writes can fail as busy without waiting; take the lock first.
        readonly = connection.get_execution_options().get("aicp_readonly", False)
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", on_connect)
    event.listen(engine.sync_engine, "begin", on_begin)


def _explain(error: DBAPIError) -> AicpError | DBAPIError:
    text = str(error.orig)
    if "disk is full" in text or "No space left" in text or "disk I/O error" in text:
        return NoSpaceError(
            "The platform's disk is full; nothing was changed.",
            hint="Free space in the data directory, then try again.",
        )
    if "readonly database" in text:
        return UnavailableError(
            "The database is read-only.", hint="Give the platform write access to its data directory."
        )
    if error.connection_invalidated or "locked" in text:
        return UnavailableError("The database does not answer.", hint="Try again in a moment.")
    return error
