"""A first start that is cut anywhere leaves a database that the next start can use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from aicp.store.migrate import migrate


class Cut(Exception):
    """The process ends here."""


@contextmanager
def cut_after(creates: int) -> Iterator[None]:
    """Ends the upgrade before the table after so many."""
    seen = 0

    def count(connection: object, cursor: object, statement: str, *_: object) -> None:
        nonlocal seen
        if statement.lstrip().upper().startswith("CREATE TABLE"):
            seen += 1
            if seen > creates:
                raise Cut

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", count)


async def tables(url: str) -> list[str]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
    return found


@pytest.mark.parametrize("creates", [1, 5, 15])
async def test_the_upgrade_is_all_or_nothing(tmp_path: Path, creates: int) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'aicp.sqlite'}"
    with cut_after(creates), pytest.raises(Cut):
        await migrate(url)
    assert await tables(url) == []
    await migrate(url)
    assert "services" in await tables(url)
