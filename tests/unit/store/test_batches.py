"""Files and batches on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aicp.core.batch import Batch, BatchEndpoint, BatchProblem, BatchState, RequestCounts
from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.file import File, FilePurpose
from aicp.core.ids import new_id
from aicp.store.batches import Batches
from aicp.store.database import Database
from aicp.store.files import Files

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def file_of(**changes: Any) -> File:
    fields = {"id": new_id("file"), "project": "default", "purpose": FilePurpose.BATCH, "filename": "in.jsonl"}
    return File(**{**fields, "size_bytes": 10, "created_at": NOW, **changes})


def batch_of(**changes: Any) -> Batch:
    fields: dict[str, Any] = {
        "id": new_id("batch"),
        "project": "default",
        "api_key_id": "key_a",
        "endpoint": BatchEndpoint.CHAT,
        "completion_window": "24h",
        "state": BatchState.VALIDATING,
        "input_file_id": "file_in",
        "metadata": {"team": "a"},
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=1),
    }
    return Batch(**{**fields, **changes})


async def test_files_are_counted_by_project_and_read_on_from_any_of_them(database: Database) -> None:
    files = [file_of(filename=f"{number}.jsonl") for number in range(5)]
    async with database.transaction() as tx:
        for file in [*files, file_of(project="other", size_bytes=2**40)]:
            await Files(tx).create(file)
        await Files(tx).create(files[0].model_copy(update={"size_bytes": 99}))  # it is there: nothing changes
        assert await Files(tx).bytes_of("default") == 50
        assert await Files(tx).bytes_of("none") == 0
        assert await Files(tx).get(files[0].id) == files[0]
        order = sorted((file.id for file in files), reverse=True)
        page = await Files(tx).list(projects={"default"}, sort="-id", limit=2)
        assert ([file.id for file in page.items], page.total) == (order[:2], 5)
        rest = await Files(tx).list(projects={"default"}, sort="-id", after=order[1])
        assert [file.id for file in rest.items] == order[2:]
        rising = await Files(tx).list(projects={"default"}, sort="id", after=order[1])
        assert [file.id for file in rising.items] == order[:1]
        found = await Files(tx).list(search="3.json", purpose=FilePurpose.BATCH)
        assert [file.filename for file in found.items] == ["3.jsonl"]
        await Files(tx).delete(files[0].id)
        with pytest.raises(NotFoundError):
            await Files(tx).get(files[0].id)


async def test_only_files_with_an_end_expire(database: Database) -> None:
    ends = file_of(expires_at=NOW)
    async with database.transaction() as tx:
        await Files(tx).create(ends)
        await Files(tx).create(file_of())
        assert list(await Files(tx).expired(NOW)) == []
        assert list(await Files(tx).expired(NOW + timedelta(seconds=1))) == [ends.id]


async def test_a_batch_moves_as_its_states_allow_and_once(database: Database) -> None:
    batch = batch_of()
    async with database.transaction() as tx:
        batches = Batches(tx)
        await batches.create(batch)
        assert await batches.get(batch.id) == batch
        assert list(await batches.reading("file_in")) == [batch.id]
        with pytest.raises(ConflictError):
            await batches.move(batch.id, BatchState.VALIDATING, BatchState.COMPLETED, NOW)
        assert await batches.move(batch.id, BatchState.VALIDATING, BatchState.IN_PROGRESS, NOW, total=3, model="demo")
        assert not await batches.move(batch.id, BatchState.VALIDATING, BatchState.CANCELLING, NOW)
        await batches.progress(batch.id, RequestCounts(total=3, completed=1), "Slow down.")
        now = await batches.get(batch.id)
        assert (now.counts.completed, now.waits_for, now.in_progress_at, now.model) == (1, "Slow down.", NOW, "demo")
        problem = BatchProblem(code="key_ended", message="It ended.")
        values: dict[str, Any] = {"problems": [problem.model_dump()], "output_file_id": "f"}
        assert await batches.move(batch.id, BatchState.IN_PROGRESS, BatchState.FAILED, NOW, **values)
        ended = await batches.get(batch.id)
        assert (ended.problems, ended.waits_for, ended.output_file_id) == ([problem], None, "f")
        await batches.progress(batch.id, RequestCounts(total=9), None)
        assert await batches.get(batch.id) == ended, "what has ended moves no more"
        assert list(await batches.reading("file_in")) == []
        assert await batches.unfinished() == []


async def test_lists_of_batches(database: Database) -> None:
    made = [batch_of(), batch_of(project="other"), batch_of(state=BatchState.CANCELLED, model="Demo")]
    async with database.transaction() as tx:
        batches = Batches(tx)
        for batch in made:
            await batches.create(batch)
        assert {batch.id for batch in await batches.unfinished()} == {made[0].id, made[1].id}
        assert [batch.id for batch in await batches.unfinished("other")] == [made[1].id]
        assert [batch.id for batch in (await batches.list(search="demo")).items] == [made[2].id]
        assert [batch.id for batch in (await batches.list(state=BatchState.CANCELLED)).items] == [made[2].id]
        newest = sorted((batch.id for batch in made), reverse=True)
        page = await batches.list(sort="-id", after=newest[0])
        assert [batch.id for batch in page.items] == newest[1:]
