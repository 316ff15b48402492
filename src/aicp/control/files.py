"""Files of projects: sent, listed, read, removed, by users and by applications with a key alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aicp.artifacts.files import ArrivingFile, FileContents
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError, TooLargeError, TooManyRequestsError
from aicp.core.file import MAX_FILE_BYTES, File, FilePurpose
from aicp.core.identity import Permission
from aicp.core.ids import new_id
from aicp.core.quantity import format_bytes
from aicp.core.value import Page
from aicp.store.batches import Batches as BatchQueries
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.files import Files as FileQueries
from aicp.store.projects import Projects

_PIECE_BYTES = 1 << 20
_LONGEST_NAME = 255
_MOST_AT_ONCE = 8
"""Files on their way to one project: what has come of them lies on the disk before any quota counts it."""
_SOON_SECONDS = 5


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is said of a file that comes. `life_seconds` None keeps it for ever."""

    project: str
    filename: str
    purpose: str = FilePurpose.BATCH
    life_seconds: int | None = None


class Arrival:
    """A file on its way: `write` its pieces, then `Files.keep` it."""

    def __init__(
        self, file_id: str, arriving: ArrivingFile, others: Set[Arrival], most_bytes: int, quota_bytes: int
    ) -> None:
        self.id = file_id
        self.content = arriving
        self._others = others
        """All that are on their way to the project, this one too."""
        self._most, self._quota = most_bytes, quota_bytes
        self._held = bytearray()

    @property
    def size_bytes(self) -> int:
        """What has come."""
        return self.content.size_bytes + len(self._held)

    async def write(self, piece: bytes) -> None:
        """Takes a piece. Raises TooLargeError beyond a file's or its project's bound, NoSpaceError for a full disk."""
        self._held += piece
        if self.size_bytes > MAX_FILE_BYTES:
            raise TooLargeError(
                f"A file may hold at most {format_bytes(MAX_FILE_BYTES)}.", hint="Split it into several batches."
            )
        if sum(one.size_bytes for one in self._others) > self._most:
            raise _over_quota(self._quota)
        if len(self._held) >= _PIECE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Hands what came to the disk."""
        held, self._held = self._held, bytearray()
        await asyncio.to_thread(self.content.write, held)


class Files:
    """Use cases over files. `quota_bytes` is what the files of one project may hold together."""

    def __init__(
        self, database: Database, clock: Clock, bell: Bell, contents: FileContents, *, quota_bytes: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._contents = contents
        self._quota = quota_bytes
        self._arriving: dict[str, set[Arrival]] = {}
        """By project."""

    @asynccontextmanager
    async def receive(self, caller: Caller, project: str) -> AsyncIterator[Arrival]:
        """A file on its way to `project`; what was not kept when the block ends is forgotten.

        Raises TooManyRequestsError when so many are on their way already.
        """
        caller.require(Permission.BATCH_WRITE, project, what=f"Project {project!r}")
        async with self._database.snapshot() as tx:
            if await Projects(tx).find(project) is None:
                raise NotFoundError(f"Project {project!r} does not exist.")
            free = self._quota - await FileQueries(tx).bytes_of(project)
        if free <= 0:
            raise _over_quota(self._quota)
        others = self._arriving.setdefault(project, set())
        if len(others) >= _MOST_AT_ONCE:
            raise TooManyRequestsError(
                f"{_MOST_AT_ONCE} files are on their way to the project {project!r}.",
                hint="Send this one when one of them has arrived.",
                details={"retry_after_seconds": _SOON_SECONDS},
            )
        file_id = new_id("file")
        arrival = Arrival(file_id, self._contents.arriving(file_id), others, free, self._quota)
        others.add(arrival)
        try:
            yield arrival
        finally:
            others.discard(arrival)  # first of all: a cancel may come while what is left is removed
            if not others and self._arriving.get(project) is others:
                del self._arriving[project]
            await asyncio.to_thread(arrival.content.discard)

    async def keep(self, caller: Caller, arrival: Arrival, wanted: NewFile) -> File:
        """Makes what came a file. Raises InvalidError for another purpose than `batch`, or an empty file."""
        if wanted.purpose != FilePurpose.BATCH:
            raise InvalidError(
                f"A file's purpose is 'batch', not {wanted.purpose[:40]!r}.",
                hint="Batches are all that files are for here.",
                details={"fields": {"purpose": "must be batch"}},
            )
        await arrival.flush()
        size = arrival.content.size_bytes
        if not size:
            raise InvalidError("The file is empty.", hint="Send a file with one JSON object a line.")
        now = self._clock.now()
        life = wanted.life_seconds
        file = File(
            id=arrival.id,
            project=wanted.project,
            purpose=FilePurpose.BATCH,
            filename=_shown_name(wanted.filename),
            size_bytes=size,
            created_by=caller.user,
            created_at=now,
            expires_at=None if life is None else now + timedelta(seconds=life),
        )
        await asyncio.to_thread(arrival.content.keep)
        try:
            await self._write(caller, file)
        except TooLargeError:  # after another error nobody knows what was committed; the cleanup does
            await asyncio.to_thread(self._contents.remove, file.id)
            raise
        self._bell.ring("file", file.id)
        return file

    async def _write(self, caller: Caller, file: File) -> None:
        async with self._database.transaction() as tx:
            if await FileQueries(tx).bytes_of(file.project) + file.size_bytes > self._quota:  # others came meanwhile
                raise _over_quota(self._quota)
            await FileQueries(tx).create(file)
            await Events(tx).audit(
                caller,
                file.created_at,
                "file.create",
                "file",
                file.id,
                project=file.project,
                message=file.filename,
                details={"filename": file.filename, "size_bytes": file.size_bytes},
            )

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        purpose: FilePurpose | None = None,
        search: str | None = None,
        after: str | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[File]:
        """Files that the caller may see."""
        projects = caller.visible_projects(Permission.BATCH_READ)
        if project is not None:
            caller.require(Permission.BATCH_READ, project, what=f"Project {project!r}")
            projects = frozenset({project})
        async with self._database.snapshot() as tx:
            return await FileQueries(tx).list(
                projects=projects, purpose=purpose, search=search, after=after, sort=sort, offset=offset, limit=limit
            )

    async def get(self, caller: Caller, file_id: str) -> File:
        """One file. Raises NotFoundError, also for a file of a project the caller does not see."""
        async with self._database.snapshot() as tx:
            return await _visible(tx, caller, file_id, Permission.BATCH_READ)

    async def content(self, caller: Caller, file_id: str) -> tuple[File, Path]:
        """A file and where its bytes lie. Raises NotFoundError."""
        file = await self.get(caller, file_id)
        path = self._contents.path(file_id)
        if not path.is_file():
            raise NotFoundError(f"The bytes of file {file_id!r} are gone from the platform's disk.")
        return file, path

    async def delete(self, caller: Caller, file_id: str) -> None:
        """Removes a file. Raises ConflictError while a batch reads it."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            file = await _visible(tx, caller, file_id, Permission.BATCH_WRITE)
            readers = await BatchQueries(tx).reading(file_id)
            if readers:
                raise ConflictError(
                    f"Batch {readers[0]!r} still reads the file.", hint="Cancel it, or wait for its end.", code="in_use"
                )
            await FileQueries(tx).delete(file_id)
            await Events(tx).audit(
                caller, now, "file.delete", "file", file_id, project=file.project, message=file.filename
            )
        await asyncio.to_thread(self._contents.remove, file_id)
        self._bell.ring("file", file_id)


async def _visible(tx: Transaction, caller: Caller, file_id: str, permission: Permission) -> File:
    file = await FileQueries(tx).get(file_id)
    if not caller.may(Permission.BATCH_READ, file.project):
        raise NotFoundError(f"There is no file {file_id!r}.", hint="It may have been removed.")
    caller.require(permission, file.project, what=f"File {file_id!r}")
    return file


def _over_quota(quota_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"The files of a project may hold {format_bytes(quota_bytes)} together, and this one does not fit.",
        hint="Remove files that are no longer needed, or ask whoever runs the platform for a larger `file_quota`.",
        code="file_quota",
    )


def _shown_name(name: str) -> str:
    """The last part of a name as its sender's system wrote it."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(character for character in last if character.isprintable()).strip()
    return shown[:_LONGEST_NAME] or "file"
