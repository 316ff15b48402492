"""The check of a finished upload: announced digests and the headers of weights, before anybody imports it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from aicp.artifacts.formats.inspect import FileSet, check_weights
from aicp.artifacts.uploads import UploadFiles
from aicp.core.errors import InvalidError
from aicp.core.job import Job
from aicp.core.upload import Upload, UploadState
from aicp.reconcile.jobs import JobContext
from aicp.store.database import Database
from aicp.store.uploads import Uploads

_CHUNK_BYTES = 4 * 2**20


class UploadCheck:
    """Worker of kind `upload_check`; its parameter is `upload_id`."""

    kind = "upload_check"

    def __init__(self, database: Database, files: UploadFiles) -> None:
        self._database = database
        self._files = files

    async def run(self, job: Job, context: JobContext) -> Mapping[str, Any]:
        """Reads everything once; the result is {files, size_bytes}."""
        upload_id = str(job.parameters["upload_id"])
        async with self._database.snapshot() as tx:
            upload = await Uploads(tx).get(upload_id)
        size = sum(file.size_bytes for file in upload.files)
        context.phase("checking", total=size)
        try:
            await asyncio.to_thread(self._check, upload, context)
        except InvalidError as error:
            await self._end(upload_id, UploadState.REFUSED, error.message)
            raise
        except OSError as error:
            if await self._imported(upload_id):  # the import read it all meanwhile, and took the files
                return {"files": len(upload.files), "size_bytes": size}
            await self._end(upload_id, UploadState.REFUSED, f"The files cannot be read ({error.strerror}).")
            raise
        await self._end(upload_id, UploadState.CHECKED)
        return {"files": len(upload.files), "size_bytes": size}

    async def _imported(self, upload_id: str) -> bool:
        async with self._database.snapshot() as tx:
            return (await Uploads(tx).get(upload_id)).state is UploadState.IMPORTED

    async def _end(self, upload_id: str, state: UploadState, error: str = "") -> None:
        async with self._database.transaction() as tx:
            await Uploads(tx).move(upload_id, UploadState.CHECKING, state, error=error)

    def _check(self, upload: Upload, context: JobContext) -> None:
        places = {file.path: self._files.path(upload.id, number) for number, file in enumerate(upload.files)}
        files = FileSet({file.path: file.size_bytes for file in upload.files}, lambda path: places[path].open("rb"))
        for file in upload.files:
            context.say(file.path)
            digest = hashlib.sha256()
            with places[file.path].open("rb") as reader:
                while chunk := reader.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    context.advance(len(chunk))
            if file.sha256 is not None and digest.hexdigest() != file.sha256:
                raise InvalidError(
                    f"{file.path} arrived with another SHA-256 than announced.",
                    hint="Delete the upload and send it again.",
                    code="digest_mismatch",
                )
            check_weights(files, file.path)
