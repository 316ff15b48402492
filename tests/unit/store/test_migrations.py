"""Migrations bring any earlier database, with its data, to the shape that the store's classes describe."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Select, Table, select
from sqlalchemy import types as sql
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from tests.support.postgres import PostgresServer

from aicp.core.errors import InvalidError
from aicp.store.database import Base
from aicp.store.migrate import alembic_config, migrate

T = TypeVar("T")
Rows = dict[str, list[dict[str, Any]]]
SCRIPTS = ScriptDirectory.from_config(alembic_config("sqlite://"))
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_numbers = count(1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'bare.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"bare{next(_numbers)}"
    server.run("createdb", "-h", str(server.folder), "-U", "aicp", "-T", "template0", name)
    return server.url(name)


async def run(url: str, work: Callable[[Connection], T]) -> T:
    """`work` on a connection of its own, committed."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        result = await connection.run_sync(work)
    await engine.dispose()
    return result


def differences(connection: Connection) -> list[Any]:
    """What autogenerate would write into a next revision."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return compare_metadata(context, Base.metadata)


def tables_of(connection: Connection) -> list[Table]:
    """The database's own tables as they are now, a referenced one before those that name it."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def fill(connection: Connection) -> Rows:
    """Two rows in every table, whatever its columns are at this revision."""
    written: Rows = {}
    for table in tables_of(connection):
        for number in (1, 2):
            row = {column.name: value_for(column, number, written) for column in table.columns}
            connection.execute(table.insert(), row)
            written.setdefault(table.name, []).append(row)
    return written


def value_for(column: Column[Any], number: int, written: Rows) -> Any:
    """A value that differs between the two rows where the type allows it."""
    for key in column.foreign_keys:
        return written[key.column.table.name][number - 1][key.column.name]
    if isinstance(column.type, sql.JSON):
        return {"number": number}
    if isinstance(column.type, sql.Boolean):
        return number == 1
    if isinstance(column.type, sql.DateTime):
        return MOMENT
    if isinstance(column.type, sql.Float | sql.Numeric):
        return number + 0.5
    if isinstance(column.type, sql.Integer):
        return number
    if isinstance(column.type, sql.LargeBinary):
        return bytes([number])
    length = getattr(column.type, "length", None) or 40
    return f"{column.name} {number}"[-length:]


def in_order(table: Table) -> Select[Any]:
    """All rows by primary key."""
    return select(table).order_by(*table.primary_key.columns)


def read(connection: Connection) -> Rows:
    """Every row of every table."""
    tables = tables_of(connection)
    return {table.name: [dict(row) for row in connection.execute(in_order(table)).mappings()] for table in tables}


async def test_an_empty_database_gets_the_shape_of_the_classes(bare_url: str) -> None:
    await migrate(bare_url)
    assert await run(bare_url, differences) == []


async def test_a_shape_that_differs_is_noticed(bare_url: str) -> None:
    await migrate(bare_url)
    await run(bare_url, lambda connection: connection.exec_driver_sql("ALTER TABLE api_keys DROP COLUMN digest"))
    assert await run(bare_url, differences)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_data_of_an_earlier_version_comes_along(bare_url: str, revision: str) -> None:
    await migrate(bare_url, revision)
    await run(bare_url, fill)
    before = await run(bare_url, read)
    assert all(len(rows) == 2 for rows in before.values())
    await migrate(bare_url)
    await migrate(bare_url)
    after = await run(bare_url, read)
    for name in before.keys() & after.keys():
        kept = before[name][0].keys() & after[name][0].keys()
        assert [{key: row[key] for key in kept} for row in after[name]] == [
            {key: row[key] for key in kept} for row in before[name]
        ], name
    assert await run(bare_url, differences) == []


def test_revisions_are_one_line() -> None:
    assert len(SCRIPTS.get_heads()) == 1
    assert len(SCRIPTS.get_bases()) == 1


async def test_a_database_of_a_newer_platform_is_refused_in_words(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/newer.sqlite"
    await migrate(url)
    with sqlite3.connect(tmp_path / "newer.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InvalidError, match="cannot be brought to the shape"):
        await migrate(url)
