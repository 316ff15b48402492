"""Files on their way: what has come of them counts before any of them is kept, and they are few at once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.api import make_caller
from tests.support.clock import FakeClock

from aicp.artifacts.files import FileContents
from aicp.control.files import Files, NewFile
from aicp.core.bell import Bell
from aicp.core.errors import TooLargeError, TooManyRequestsError
from aicp.store.database import Database
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects

QUOTA = 100
ADMIN = make_caller()


@pytest.fixture
async def files(sqlite: Database, clock: FakeClock, tmp_path: Path) -> Files:
    async with sqlite.transaction() as tx:
        await Organizations(tx).create("default", clock.now())
        for name in ("a", "b"):
            await Projects(tx).create(name, "default", "", clock.now())
    return Files(sqlite, clock, Bell(), FileContents(tmp_path / "files"), quota_bytes=QUOTA)


async def test_what_is_on_its_way_counts_towards_the_quota_of_its_project(files: Files) -> None:
    async with files.receive(ADMIN, "a") as first, files.receive(ADMIN, "a") as second, files.receive(ADMIN, "b") as b:
        await first.write(b"x" * 60)
        await b.write(b"x" * 60)
        await second.write(b"x" * 40)
        with pytest.raises(TooLargeError):
            await second.write(b"x")
    async with files.receive(ADMIN, "a") as later:
        await later.write(b"x" * QUOTA)  # the others were never kept
        kept = await files.keep(ADMIN, later, NewFile("a", "a.jsonl"))
    assert kept.size_bytes == QUOTA
    with pytest.raises(TooLargeError):
        async with files.receive(ADMIN, "a"):
            pass


async def test_only_so_many_are_on_their_way_to_one_project(files: Files, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(files.receive(ADMIN, "a"))
        with pytest.raises(TooManyRequestsError) as caught:
            await stack.enter_async_context(files.receive(ADMIN, "a"))
        assert caught.value.details["retry_after_seconds"] > 0
        await stack.enter_async_context(files.receive(ADMIN, "b"))
    async with files.receive(ADMIN, "a"):
        pass
    assert not [path for path in (tmp_path / "files").iterdir() if path.is_file()]
