"""What the cleanup takes: files whose life has ended but those in use, and bytes that no row names."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from tests.support.clock import FakeClock
from tests.unit.store.test_batches import batch_of, file_of

from aicp.artifacts.files import FileContents
from aicp.core.batch import BatchState
from aicp.reconcile.cleanup import Cleanup
from aicp.store.batches import Batches
from aicp.store.database import Database
from aicp.store.files import Files


async def test_what_goes_and_what_stays(sqlite: Database, clock: FakeClock, tmp_path: Path) -> None:
    contents, now = FileContents(tmp_path / "files"), clock.now()
    past, old = now - timedelta(seconds=1), (now - timedelta(hours=2)).timestamp()
    files = {
        "file_kept": None,
        "file_expired": past,
        "file_read": past,
        "file_later": now + timedelta(days=1),
    }
    live = batch_of(id="batch_live", input_file_id="file_read", state=BatchState.IN_PROGRESS)
    async with sqlite.transaction() as tx:
        for name, ends in files.items():
            await Files(tx).create(file_of(id=name, expires_at=ends))
        await Batches(tx).create(live)
    places = [*map(contents.path, [*files, "file_orphan", "file_new", "file_cut.part"])]
    places += [contents.work / name for name in ("batch_live.output", "batch_over.output", "batch_over.error")]
    for path in places:
        path.write_bytes(b"x")
        os.utime(path, (old, old))
    os.utime(contents.path("file_new"), (now.timestamp(), now.timestamp()))  # its row may be on its way
    nothing = cast(Any, None)
    await Cleanup(sqlite, clock, nothing, nothing, nothing, contents)._sweep_files()
    left = {path.name for path in contents.directory.iterdir() if path.is_file()}
    assert left == {"file_kept", "file_read", "file_later", "file_new"}
    assert {path.name for path in contents.work.iterdir()} == {"batch_live.output"}
