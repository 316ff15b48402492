"""The database behind the store: SQLite (WAL) embedded, or PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import DateTime, MetaData, event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import JSON, TypeDecorator

from aicp.core.errors import AicpError, ConflictError, InvalidError, NoSpaceError, UnavailableError

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
        # A server that was restarted has closed the connections that wait here; a file closes none.
        ping = not self.is_sqlite
        self._engine: AsyncEngine = create_async_engine(url, pool_size=10, max_overflow=20, pool_pre_ping=ping)
        _explain_no_connection(self._engine)
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
        except (ConnectionError, TimeoutError, NoFreeConnectionError) as error:
            raise _silent() from error


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


def _explain_no_connection(engine: AsyncEngine) -> None:
    def on_connect(dialect: Dialect, _: ConnectionPoolEntry, arguments: Any, options: Any) -> Any:
        # Only here is it sure that an OSError is the database's: no such host, refused, timed out, no socket.
        try:
            return dialect.connect(*arguments, **options)
        except OSError as error:
            raise _silent() from error

    event.listen(engine.sync_engine, "do_connect", on_connect)


def _silent() -> UnavailableError:
    return UnavailableError("The database does not answer.", hint="Try again in a moment.")


def _full() -> NoSpaceError:
    return NoSpaceError(
        "The platform's disk is full; nothing was changed.",
        hint="Free space in the data directory, then try again.",
    )


def _readonly() -> UnavailableError:
    return UnavailableError("The database is read-only.", hint="Give the platform write access to its data directory.")


def _busy() -> UnavailableError:
    return UnavailableError("Others changed the same at the same moment; nothing was changed.", hint="Try again.")


def _taken() -> ConflictError:
    return ConflictError(
        "Another request made the same at the same moment; nothing was changed.",
        hint="Look at what is there now, then try again.",
    )


def _referred() -> ConflictError:
    return ConflictError(
        "What it refers to is gone, or something still refers to it; nothing was changed.",
        hint="Look at what is there now, then try again.",
    )


def _too_long() -> InvalidError:
    return InvalidError("A value is longer than the database keeps; nothing was changed.", hint="Shorten it.")


def _too_large() -> InvalidError:
    return InvalidError("A number is larger than the database keeps; nothing was changed.", hint="Make it smaller.")


def _unwritable() -> InvalidError:
    return InvalidError(
        "A value holds what the database cannot keep, such as a NUL character; nothing was changed.",
        hint="Leave such characters out.",
    )


# Others, such as a value that is missing, are mistakes of the platform and stay errors of it.
_BY_STATE: Mapping[str, Callable[[], AicpError]] = {
    "08": _silent,
    "22001": _too_long,
    "22003": _too_large,
    "22021": _unwritable,
    "22P05": _unwritable,
    "23503": _referred,
    "23505": _taken,
    "25006": _readonly,
    "40": _busy,
    "53100": _full,
    "53": _silent,
    "54000": _too_long,
    "55P03": _busy,
    "57": _silent,
}
"""By the start of PostgreSQL's state of an error, the more special one first."""
_BY_TEXT: Mapping[str, Callable[[], AicpError]] = {
    # First these of PostgreSQL's driver, which quote the value.
    "value out of int": _too_large,
    "codec can't encode": _unwritable,
    "disk is full": _full,
    "No space left": _full,
    "disk I/O error": _full,
    "readonly database": _readonly,
    "locked": _silent,
    "UNIQUE constraint failed": _taken,
    "FOREIGN KEY constraint failed": _referred,
    "string or blob too big": _too_long,
    "connection is closed": _silent,
    "connection was closed": _silent,
    "connection has been closed": _silent,
}
"""By words of SQLite's errors and of the drivers'."""
_NOT_OF_A_SERVER = ("", "22000")
"""SQLite has no states; the driver for PostgreSQL gives the second to values that it does not even send."""


def _explain(error: DBAPIError) -> AicpError | DBAPIError:
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state in _NOT_OF_A_SERVER:
        text = str(error.orig)
        known = (make() for words, make in _BY_TEXT.items() if words in text)
    else:
        # Not by its text, which may quote what a user wrote.
        known = (make() for start, make in _BY_STATE.items() if state.startswith(start))
    found = next(known, None)
    if found is None and error.connection_invalidated:
        return _silent()
    return found or error
