"""A database that is not there is said in words, never with its password."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from tests.support.postgres import PostgresServer

from aicp.core.errors import AicpError, InvalidError, UnavailableError
from aicp.store.database import Database
from aicp.store.migrate import migrate

CLOSED = "postgresql+asyncpg://aicp:open-sesame@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (CLOSED, UnavailableError),
        ("postgresql+asyncpg://aicp:open-sesame@/x?host=/nonexistent", UnavailableError),
        ("postgres://aicp:open-sesame@host/x", InvalidError),
        ("mysql://aicp:open-sesame@host/x", InvalidError),
        ("open-sesame", InvalidError),
    ],
)
async def test_migrations_explain_what_is_wrong_with_the_address(url: str, kind: type[AicpError]) -> None:
    with pytest.raises(kind) as caught:
        await migrate(url)
    assert "database" in caught.value.message
    assert "open-sesame" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.postgres
async def test_a_server_that_has_no_such_database_will_not_get_one_by_waiting(postgres: PostgresServer) -> None:
    with pytest.raises(InvalidError) as caught:
        await migrate(postgres.url("nobody-made-it"))
    assert "nobody-made-it" in caught.value.message


async def test_queries_say_that_it_does_not_answer() -> None:
    database = Database(CLOSED)
    with pytest.raises(UnavailableError):
        async with database.snapshot() as tx:
            await tx.session.execute(text("SELECT 1"))
    await database.close()
