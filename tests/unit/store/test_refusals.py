"""What a database refuses is said in words, with the status that fits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.support.clock import FakeClock

from aicp.core.errors import AicpError, ConflictError, InvalidError, UnavailableError
from aicp.core.identity import Role
from aicp.store import database as module
from aicp.store.database import Database
from aicp.store.members import Members
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[Database]:
    """PostgreSQL, for what SQLite takes or cannot do."""
    database = Database(postgres_url)
    yield database
    await database.close()


async def prepare(database: Database, clock: FakeClock) -> None:
    async with database.transaction() as tx:
        await Organizations(tx).create("default", clock.now())
        await Projects(tx).create("taken", "default", "", clock.now())


async def create(database: Database, clock: FakeClock, name: str, description: str = "") -> None:
    async with database.transaction() as tx:
        await Projects(tx).create(name, "default", description, clock.now())


async def test_a_name_that_another_request_took_is_a_conflict(database: Database, clock: FakeClock) -> None:
    await prepare(database, clock)
    with pytest.raises(ConflictError, match="at the same moment"):
        await create(database, clock, "taken")
    results = await asyncio.gather(*(create(database, clock, "new") for _ in range(3)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ConflictError", "ConflictError", "NoneType"]


async def test_what_is_gone_meanwhile_is_a_conflict(database: Database, clock: FakeClock) -> None:
    await prepare(database, clock)
    with pytest.raises(ConflictError, match="gone"):
        async with database.transaction() as tx:
            await Members(tx).set("taken", "nobody", Role.VIEWER)


async def test_a_mistake_of_the_platform_is_not_said_to_be_the_users(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as tx:
            await tx.session.execute(text("INSERT INTO projects (id) VALUES ('without a name')"))


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("name", "description", "words"),
    [
        ("n" * 64, "", "longer"),
        ("nul", "a\0b", "NUL"),
        ("half", "a\ud800b", "cannot keep"),
    ],
)
async def test_values_that_it_cannot_keep_are_invalid(
    server: Database, clock: FakeClock, name: str, description: str, words: str
) -> None:
    await prepare(server, clock)
    with pytest.raises(InvalidError, match=words):
        await create(server, clock, name, description)


@pytest.mark.postgres
async def test_numbers_that_it_cannot_keep_are_invalid(server: Database) -> None:
    for number in (2**40, 2**70):
        with pytest.raises(InvalidError, match="larger"):
            async with server.snapshot() as tx:
                await tx.session.execute(text("SELECT CAST(:n AS INTEGER)"), {"n": number})


@pytest.mark.postgres
async def test_a_server_that_ends_is_unavailable_and_found_again_after_its_restart(
    server: Database, postgres_url: str
) -> None:
    other = Database(postgres_url)
    end = text("SELECT pg_terminate_backend(:pid, 5000)")
    pid = text("SELECT pg_backend_pid()")

    async def killed() -> None:
        async with server.transaction() as tx, other.snapshot() as their:
            await their.session.execute(end, {"pid": await tx.session.scalar(pid)})
            await tx.session.execute(pid)

    with pytest.raises(UnavailableError):
        await killed()
    async with server.snapshot() as tx:
        idle = await tx.session.scalar(pid)
    async with other.snapshot() as tx:
        await tx.session.execute(end, {"pid": idle})
    async with server.snapshot() as tx:
        assert await tx.session.scalar(pid) != idle
    await other.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("57P01", UnavailableError),
        ("57P03", UnavailableError),
        ("53300", UnavailableError),
        ("40P01", UnavailableError),
        ("25006", UnavailableError),
    ],
)
async def test_states_of_a_server_that_cannot_just_now(server: Database, state: str, kind: type[AicpError]) -> None:
    with pytest.raises(kind):
        async with server.transaction() as tx:
            await tx.session.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}' USING message = 'not now'; END $$"))


@pytest.mark.postgres
async def test_words_of_a_user_in_an_error_are_not_taken_for_the_servers(server: Database) -> None:
    with pytest.raises(Exception, match="division by zero") as caught:
        async with server.transaction() as tx:
            await tx.session.execute(text('SELECT 1/0 AS "disk is full"'))
    assert not isinstance(caught.value, AicpError)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://aicp:open-sesame@no-such-host.invalid/x",
        "postgresql+asyncpg://aicp:open-sesame@/x?host=/nonexistent",
        "postgresql+asyncpg://aicp:open-sesame@127.0.0.1:1/x",
    ],
)
async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    database = Database(url)
    with pytest.raises(UnavailableError) as caught:
        async with database.snapshot() as tx:
            await tx.session.execute(text("SELECT 1"))
    assert "open-sesame" not in f"{caught.value.message} {caught.value.hint}"
    await database.close()


async def test_a_query_that_is_not_answered_in_time_is_unavailable(sqlite: Database) -> None:
    for error in (TimeoutError(), ConnectionResetError(), module.NoFreeConnectionError("QueuePool limit")):
        with pytest.raises(UnavailableError):
            async with sqlite.snapshot():
                raise error
