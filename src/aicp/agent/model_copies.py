"""Model files on this node: one directory a digest, complete or absent, shared by all replicas of the version."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing, suppress
from pathlib import Path, PurePosixPath

from aicp.agent.copy_sources import BLOCK, CopySource, Disk, Origin
from aicp.agent.disk import explain_disk
from aicp.agent.read_ahead import read_ahead
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError, NotFoundError, UnavailableError

log = logging.getLogger(__name__)

Progress = Callable[[float], None]
File = tuple[str, str, int]
"""(path, sha256, size in bytes) of a file of a version."""
_UNFINISHED = ".part"
_UNUSED_SECONDS = 24 * 3600.0


class ModelCopies:
    """The directory `models/`. A copy is built as `<digest>.part` and renamed when whole, so a crash leaves no half."""

    def __init__(self, directory: Path, source: CopySource, clock: Clock) -> None:
        self._clock = clock
        self._directory = directory
        self._source = source
        self._reading: set[str] = set()
        self._tasks: set[asyncio.Task[int]] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def path(self, digest: str) -> Path:
        """Where the copy of `digest` is, or will be."""
        if not digest.isalnum():
            raise InvalidError(f"{digest!r} is not the digest of a model version.")
        return self._directory / digest

    def digests(self) -> list[str]:
        """Digests of complete copies, sorted."""
        if not self._directory.exists():
            return []
        return sorted(path.name for path in self._directory.iterdir() if path.suffix != _UNFINISHED)

    def file(self, digest: str, path: str) -> Path:
        """A file of a complete copy. Raises NotFoundError."""
        found = _inside(self.path(digest), path)
        if not found.is_file():
            raise NotFoundError("This node has no such model file.")
        return found

    async def ensure(self, digest: str, files: Sequence[File], progress: Progress, peers: Sequence[str] = ()) -> Path:
        """The directory of the copy, fetched first when absent. `progress` gets 0..1.

        `peers` are agents that have it (`mtls://`), asked in this order before the control plane. An interrupted fetch
        goes on where it stopped, also from another source. Raises UnavailableError, NoSpaceError, InvalidError.
        """
        final = self.path(digest)
        async with self._locks[digest]:
            if not final.exists():
                try:
                    await self._fetch(digest, final.with_suffix(_UNFINISHED), files, peers, progress)
                except OSError as error:
                    raise explain_disk(error, "The model copy is incomplete") from error
                final.with_suffix(_UNFINISHED).rename(final)
        os.utime(final)
        return final

    def unused_for_a_day(self, used: Collection[str | None]) -> list[str]:
        """Digests outside of `used` that no replica has been started from for a day."""
        latest = self._clock.now().timestamp() - _UNUSED_SECONDS
        return [one for one in self.digests() if one not in used and self.path(one).stat().st_mtime < latest]

    def read_ahead(self, digest: str) -> None:
        """Has the copy read into memory that nobody needs, in the background: before an engine asks for it, and after
        one has ended, so that the next is fast. Absent is success."""
        path = self.path(digest)
        if path.exists() and digest not in self._reading:
            self._reading.add(digest)
            task = asyncio.get_running_loop().create_task(asyncio.to_thread(read_ahead, path))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._reading.discard(digest))

    async def remove(self, digest: str) -> None:
        """Removes a copy, whole or unfinished. Absent is success."""
        final = self.path(digest)
        async with self._locks[digest]:
            doomed = final.with_suffix(f".removed{_UNFINISHED}")
            with suppress(FileNotFoundError):
                final.rename(doomed)
            await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)
            await asyncio.to_thread(shutil.rmtree, final.with_suffix(_UNFINISHED), ignore_errors=True)

    async def _fetch(
        self, digest: str, directory: Path, files: Sequence[File], peers: Sequence[str], progress: Progress
    ) -> None:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        total = sum(size for _, _, size in files) or 1
        done = 0
        async with self._source.origins(digest, peers) as origins:
            for file in files:
                path, _, size = file
                target = _inside(directory, path)
                if not (target.exists() and target.stat().st_size == size):
                    # bytes so far of this file are counted on top of the finished files
                    await self._fetch_file(origins, target, file, _offset(progress, done, total))
                done += size
                progress(done / total)
        for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
            folder.chmod(0o755)

    async def _fetch_file(
        self, origins: list[Origin], target: Path, file: File, progress: Callable[[int], None]
    ) -> None:
        _, sha256, size = file
        target.parent.mkdir(parents=True, exist_ok=True)
        local = self._source.local_file(sha256)
        if local is not None and local.stat().st_size == size and _link(local, target):
            return
        if local is not None:
            origins = [Disk(local)]
        while not await _try_first(origins, target, file, progress):
            # it does not answer, or its file is damaged: what it sent may be gone on with, it is not asked again
            log.warning("model files are no longer fetched from %s", origins.pop(0).name)


async def _try_first(origins: list[Origin], target: Path, file: File, progress: Callable[[int], None]) -> bool:
    """Whether the file is there now. Raises what the last origin has against it."""
    try:
        if await _take(origins[0], target, file, progress):
            return True
    except UnavailableError as error:
        if len(origins) == 1:
            raise
        log.info("%s", error.message)
        return False
    if len(origins) > 1:
        return False
    raise InvalidError(
        f"A file of the model arrived damaged: {target.name} has another checksum than the repository says.",
        hint="It is fetched anew by itself; when this repeats, look for a failing disk or network.",
    )


async def _take(origin: Origin, target: Path, file: File, progress: Callable[[int], None]) -> bool:
    """Fetches what is missing of a file; False when it is damaged, and then nothing of it is left."""
    path, sha256, size = file
    unfinished = target.with_name(target.name + _UNFINISHED)
    digest = hashlib.sha256()
    begun = done = await asyncio.to_thread(_hash_file, unfinished, digest)
    with unfinished.open("ab") as writing:
        async with aclosing(origin.blocks(path, sha256, done)) as blocks:
            async for block in blocks:
                digest.update(block)
                await asyncio.to_thread(writing.write, block)
                done += len(block)
                if done > size:
                    break
                progress(done)
    if digest.hexdigest() != sha256:
        unfinished.unlink()
        # what was there before may be at fault, and not this origin
        return begun > 0 and await _take(origin, target, file, progress)
    unfinished.chmod(0o444)
    unfinished.rename(target)
    return True


def _offset(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress((before + done) / total)


def _inside(directory: Path, path: str) -> Path:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise InvalidError(f"The model has a file outside of its own directory: {path!r}.")
    return directory / parts


def _link(source: Path, target: Path) -> bool:
    """Shares the bytes with the repository's own file; False where that needs a real copy (another file system)."""
    try:
        target.unlink(missing_ok=True)
        os.link(source, target)
    except OSError:
        return False
    target.chmod(0o444)
    return True


def _hash_file(path: Path, digest: hashlib._Hash) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return path.stat().st_size
