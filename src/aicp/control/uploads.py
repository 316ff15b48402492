"""Uploads: announce files, send them in pieces, give up; the last piece starts the check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from aicp.artifacts.blobs import Blobs
from aicp.artifacts.names import check_paths
from aicp.artifacts.uploads import UploadFiles
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, NoSpaceError, NotFoundError
from aicp.core.identity import Permission
from aicp.core.ids import new_id
from aicp.core.upload import Upload, UploadCreate, UploadFile, UploadOffset, UploadState, UploadSummary
from aicp.core.value import Page
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.jobs import Jobs as JobQueries
from aicp.store.uploads import Uploads as UploadQueries

LIFE = timedelta(hours=24)
_EXTEND_AFTER = timedelta(minutes=10)
_MAX_UPLOADS = 20
_PIECE_BYTES = 4 * 2**20


class Uploads:
    """Use cases over uploads. Only who made an upload sees it."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, *, files: UploadFiles, blobs: Blobs) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._files = files
        self._blobs = blobs
        self._writing: set[tuple[str, int]] = set()

    async def create(self, caller: Caller, body: UploadCreate) -> Upload:
        """Announces files; nothing is sent yet."""
        caller.require(Permission.MODEL_WRITE, body.project, what=f"Project {body.project!r}")
        check_paths(file.path for file in body.files)
        self._blobs.check_space(sum(file.size_bytes for file in body.files))
        now = self._clock.now()
        upload = Upload(
            id=new_id("upl"),
            project=body.project,
            state=UploadState.RECEIVING,
            files=[UploadFile(**file.model_dump()) for file in body.files],
            created_by=caller.user,
            created_at=now,
            expires_at=now + LIFE,
        )
        async with self._database.transaction() as tx:
            if await UploadQueries(tx).count(caller.user) >= _MAX_UPLOADS:
                raise ConflictError(
                    f"You have {_MAX_UPLOADS} uploads already.", hint="Finish or delete one, or wait until one expires."
                )
            await UploadQueries(tx).create(upload)
            await Events(tx).audit(caller, now, "upload.create", "upload", upload.id, project=upload.project)
        try:
            await asyncio.to_thread(self._files.create, upload.id, upload.files)
        except NoSpaceError:
            await self.delete(caller, upload.id)
            raise
        await self._start_check(caller, upload)  # all files may be empty
        return await self.get(caller, upload.id)

    async def list(self, caller: Caller, *, offset: int = 0, limit: int = 100) -> Page[UploadSummary]:
        """The caller's own uploads in projects where it may still make models, newest first."""
        projects = caller.visible_projects(Permission.MODEL_WRITE)
        now = self._clock.now()
        async with self._database.snapshot() as tx:
            page = await UploadQueries(tx).list(caller.user, now, projects=projects, offset=offset, limit=limit)
        items = await asyncio.to_thread(lambda: [self._summary(upload) for upload in page.items])
        return Page(items=items, total=page.total, offset=offset, limit=limit)

    async def get(self, caller: Caller, upload_id: str) -> Upload:
        """An upload with the offset of each file."""
        upload = await self._own(caller, upload_id)
        files = [
            file.model_copy(update={"offset": self._offset(upload, number)}) for number, file in enumerate(upload.files)
        ]
        return upload.model_copy(update={"files": files})

    async def write(
        self, caller: Caller, upload_id: str, path: str, offset: int, content: AsyncIterator[bytes]
    ) -> UploadOffset:
        """Appends a piece to one file; answers where the next one starts. `content` may end early.

        Raises ConflictError with the right offset in `details`, or while another piece of the file is on its way.
        """
        upload = await self._own(caller, upload_id)
        number = next((index for index, file in enumerate(upload.files) if file.path == path), None)
        if number is None:
            raise NotFoundError(f"The upload has no file {path!r}.", hint="Files are announced when it is made.")
        if (upload_id, number) in self._writing:
            raise ConflictError(
                f"Another piece of {path!r} is on its way.",
                hint="Send pieces one after the other.",
                code="piece_under_way",
            )
        self._writing.add((upload_id, number))
        try:
            end = await self._append(upload, number, offset, content)
        finally:
            self._writing.discard((upload_id, number))
        await self._extend(upload)
        size = upload.files[number].size_bytes
        if end == size:
            await self._start_check(caller, upload)
        return UploadOffset(offset=end, size_bytes=size, complete=end == size)

    async def delete(self, caller: Caller, upload_id: str) -> None:
        """Gives an upload up."""
        upload = await self._own(caller, upload_id)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await UploadQueries(tx).delete(upload_id)
            await Events(tx).audit(caller, now, "upload.delete", "upload", upload_id, project=upload.project)
        await asyncio.to_thread(self._files.remove, upload_id)

    def _summary(self, upload: Upload) -> UploadSummary:
        return UploadSummary(
            **upload.model_dump(exclude={"files"}),
            files=len(upload.files),
            size_bytes=sum(file.size_bytes for file in upload.files),
            received_bytes=sum(self._offset(upload, number) for number in range(len(upload.files))),
        )

    def _offset(self, upload: Upload, number: int) -> int:
        if upload.state is UploadState.IMPORTED:  # all of it came, and the version has it now
            return upload.files[number].size_bytes
        return self._files.offset(upload.id, number)

    async def _own(self, caller: Caller, upload_id: str) -> Upload:
        async with self._database.snapshot() as tx:
            upload = await UploadQueries(tx).get(upload_id)
        if upload.created_by != caller.user or upload.expires_at < self._clock.now():
            raise NotFoundError(f"There is no upload {upload_id!r}.", hint="It may have expired.")
        caller.require(Permission.MODEL_WRITE, upload.project, what=f"Upload {upload_id!r}")
        return upload

    async def _append(self, upload: Upload, number: int, offset: int, content: AsyncIterator[bytes]) -> int:
        size = upload.files[number].size_bytes
        pending = bytearray()
        first = True
        async for chunk in content:
            pending += chunk
            if first or len(pending) >= _PIECE_BYTES:  # a wrong offset is refused before the rest is read
                await asyncio.to_thread(self._files.append, upload.id, number, offset, bytes(pending), size)
                offset += len(pending)
                pending.clear()
                first = False
        await asyncio.to_thread(self._files.append, upload.id, number, offset, bytes(pending), size)
        return offset + len(pending)

    async def _extend(self, upload: Upload) -> None:
        expires_at: datetime = self._clock.now() + LIFE
        if expires_at - upload.expires_at > _EXTEND_AFTER:
            async with self._database.transaction() as tx:
                await UploadQueries(tx).extend(upload.id, expires_at)

    async def _start_check(self, caller: Caller, upload: Upload) -> None:
        sizes = [self._files.offset(upload.id, number) for number in range(len(upload.files))]
        if sizes != [file.size_bytes for file in upload.files]:
            return
        job_id = new_id("job")
        async with self._database.transaction() as tx:
            moved = await UploadQueries(tx).move(upload.id, UploadState.RECEIVING, UploadState.CHECKING, job_id=job_id)
            if moved:
                await JobQueries(tx).create(
                    "upload_check",
                    f"Check of upload {upload.id}",
                    at=self._clock.now(),
                    project=upload.project,
                    parameters={"upload_id": upload.id},
                    created_by=caller.user,
                    job_id=job_id,
                )
        self._bell.ring("job", job_id)
