"""Frees what nobody needs any more: expired uploads and files, abandoned arrivals, files no version refers to."""

from __future__ import annotations

import asyncio
import logging
import shutil
from datetime import timedelta

from aicp.artifacts.blobs import Blobs
from aicp.artifacts.credentials import Credentials
from aicp.artifacts.files import FileContents
from aicp.artifacts.uploads import UploadFiles
from aicp.core.clock import Clock
from aicp.core.errors import AicpError
from aicp.store.batches import Batches
from aicp.store.database import Database
from aicp.store.files import Files
from aicp.store.jobs import Jobs
from aicp.store.models import Models
from aicp.store.uploads import Uploads

log = logging.getLogger(__name__)

_EVERY_SECONDS = 600.0
_PARTIAL_LIFE = timedelta(days=7)
_UNFINISHED_PART = 10
"""Downloads that broke off may take this part of the disk: one tenth."""
_SETTLED = timedelta(hours=1)
"""A younger folder may belong to something whose row is being written."""
_BLOB_LIFE = timedelta(days=1)
"""A file without a version may belong to an import that was interrupted and will be run again."""


class Cleanup:
    """One pass every ten minutes."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        blobs: Blobs,
        credentials: Credentials,
        uploads: UploadFiles,
        files: FileContents,
    ) -> None:
        self._database = database
        self._clock = clock
        self._blobs = blobs
        self._credentials = credentials
        self._uploads = uploads
        self._files = files

    async def run(self) -> None:
        """Works until canceled."""
        while True:
            try:
                await self.once()
            except (
                AicpError,
                OSError,
            ) as error:  # a full disk or a database that is away ends nothing; the next pass comes
                log.warning("nothing was cleaned up this time: %s", error)
            await asyncio.sleep(_EVERY_SECONDS)

    async def once(self) -> None:
        """One pass."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            for upload_id in await Uploads(tx).expired(now):
                await Uploads(tx).delete(upload_id)
            uploads = await Uploads(tx).ids()
            jobs = {job.id for job in await Jobs(tx).unfinished("model_import")}
        await asyncio.to_thread(self._sweep, uploads, jobs)
        await self._sweep_files()
        async with self._blobs.collection() as remove:
            old = list(await asyncio.to_thread(self._old_blobs))
            async with self._database.snapshot() as tx:
                referenced = await Models(tx).referenced()
            await asyncio.to_thread(remove, old, referenced)

    async def _sweep_files(self) -> None:
        """Files whose life has ended, but those that a batch still reads; bytes without a row; leavings of batches."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            unfinished = await Batches(tx).unfinished()
            read = {batch.input_file_id for batch in unfinished}
            for file_id in set(await Files(tx).expired(now)) - read:
                await Files(tx).delete(file_id)
            kept = await Files(tx).ids()
        batches = {batch.id for batch in unfinished}
        await asyncio.to_thread(self._files.keep_only, kept, batches, older_than=(now - _SETTLED).timestamp())

    def _old_blobs(self) -> list[str]:
        return list(self._blobs.digests(older_than=(self._clock.now() - _BLOB_LIFE).timestamp()))

    def _sweep(self, uploads: set[str], jobs: set[str]) -> None:
        settled = (self._clock.now() - _SETTLED).timestamp()
        self._uploads.keep_only(uploads, older_than=settled)
        self._credentials.keep_only(jobs, older_than=settled)
        stale = (self._clock.now() - _PARTIAL_LIFE).timestamp()
        self._blobs.forget_partials(older_than=stale)
        # An import that a restart interrupted holds no lock yet, and will go on where it was.
        disk_bytes = shutil.disk_usage(self._blobs.root).total
        most_bytes = disk_bytes if jobs else disk_bytes // _UNFINISHED_PART
        self._blobs.unfinished.forget(older_than=stale, most_bytes=most_bytes)
        work = self._blobs.root / "work"
        for folder in work.iterdir() if work.is_dir() else ():
            if folder.name not in jobs and folder.stat().st_mtime < settled:
                shutil.rmtree(folder, ignore_errors=True)
