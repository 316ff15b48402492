"""Fixtures that every test may ask for."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import shutil
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.support.clock import FakeClock
from tests.support.postgres import PostgresServer, find_binaries, start_postgres
from tests.support.redis_server import RedisServer, redis_installed

from aicp import store
from aicp.store.database import Database

# Every run tells tools/check_required.py what ran and what did not.
pytest_plugins = ["tests.support.report"]

_numbers = count(1)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()


@pytest.fixture(scope="session")
def all_tables() -> None:
    """Every module of the store is imported, so that every table is known."""
    for module in pkgutil.iter_modules(store.__path__):
        if not module.ispkg:
            importlib.import_module(f"{store.__name__}.{module.name}")


@pytest.fixture(scope="session")
def postgres(all_tables: None) -> Iterator[PostgresServer]:
    """A server with an empty database `pattern` that has all tables."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("not run: PostgreSQL is not installed (Debian: apt-get install postgresql)")
    server = start_postgres(binaries)
    try:
        server.run("createdb", "-h", str(server.folder), "-U", "aicp", "pattern")
        asyncio.run(_create_all(server.url("pattern")))
        yield server
    finally:
        server.stop()


async def _create_all(url: str) -> None:
    database = Database(url)
    await database.create_all()
    await database.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The address of an empty PostgreSQL database of its own."""
    name = f"test{next(_numbers)}"
    # Copying the files is several times as quick as replaying them through the log, the default.
    server = ("-h", str(postgres.folder), "-U", "aicp")
    postgres.run("createdb", *server, "-T", "pattern", "--strategy=file_copy", name)
    return postgres.url(name)


@pytest.fixture(scope="session")
def sqlite_pattern(all_tables: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with all tables, to be copied."""
    file = tmp_path_factory.mktemp("pattern") / "aicp.sqlite"
    asyncio.run(_create_all(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture
def sqlite_url(sqlite_pattern: Path, tmp_path: Path) -> str:
    """The address of an empty SQLite database of its own."""
    return f"sqlite+aiosqlite:///{shutil.copy(sqlite_pattern, tmp_path)}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database: SQLite in one run of the test, PostgreSQL in the other."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty database with all tables: the test runs on SQLite and on PostgreSQL."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    """An empty SQLite database with all tables, for tests that are not about the database."""
    database = Database(sqlite_url)
    yield database
    await database.close()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """An empty Redis server for one test."""
    if not redis_installed():
        pytest.skip("not run: Redis is not installed (Debian: apt-get install redis-server)")
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
