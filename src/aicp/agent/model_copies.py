"""Model files on this node: one directory a digest, complete or absent, shared by all replicas of the version."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from aicp.agent.disk import explain_disk
from aicp.agent.read_ahead import read_ahead
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError, UnavailableError
from aicp.security.tls import pinned

Progress = Callable[[float], None]
_BLOCK = 1024 * 1024
_UNFINISHED = ".part"
_UNUSED_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class CopySource:
    """Where files come from: the control plane's own files when this node can read them, else its interface.

    `certificate` is what an https control plane must prove to be.
    """

    control_url: str
    token: str
    artifacts_dir: Path | None = None
    certificate: Path | None = None

    def local_file(self, sha256: str) -> Path | None:
        """The file in the control plane's storage, if it is on this machine and readable."""
        if self.artifacts_dir is None:
            return None
        path = self.artifacts_dir / "blobs" / "sha256" / sha256[:2] / sha256
        return path if os.access(path, os.R_OK) else None


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

    async def ensure(self, digest: str, files: Sequence[tuple[str, str, int]], progress: Progress) -> Path:
        """The directory of the copy, fetched first when absent. `progress` gets 0..1.

        An interrupted fetch goes on where it stopped. Raises UnavailableError, NoSpaceError, InvalidError.
        """
        final = self.path(digest)
        async with self._locks[digest]:
            if not final.exists():
                try:
                    await self._fetch(final.with_suffix(_UNFINISHED), files, progress)
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

    async def _fetch(self, directory: Path, files: Sequence[tuple[str, str, int]], progress: Progress) -> None:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        total = sum(size for _, _, size in files) or 1
        done = 0
        async with self._client() as client:
            for path, sha256, size in files:
                target = _inside(directory, path)
                if not (target.exists() and target.stat().st_size == size):
                    # bytes so far of this file are counted on top of the finished files
                    await self._fetch_file(client, target, sha256, size, _offset(progress, done, total))
                done += size
                progress(done / total)
        for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
            folder.chmod(0o755)

    async def _fetch_file(
        self, client: httpx.AsyncClient, target: Path, sha256: str, size: int, progress: Callable[[int], None]
    ) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        local = self._source.local_file(sha256)
        if local is not None and local.stat().st_size == size and _link(local, target):
            return
        unfinished = target.with_name(target.name + _UNFINISHED)
        digest = hashlib.sha256()
        done = await asyncio.to_thread(_hash_file, unfinished, digest)
        blocks = _read_blocks(local, done) if local else self._download(client, sha256, done)
        with unfinished.open("ab") as file:
            async for block in blocks:
                digest.update(block)
                await asyncio.to_thread(file.write, block)
                done += len(block)
                progress(done)
        if digest.hexdigest() != sha256:
            unfinished.unlink()
            raise InvalidError(
                f"A file of the model arrived damaged: {target.name} has another checksum than the repository says.",
                hint="It is fetched anew by itself; when this repeats, look for a failing disk or network.",
            )
        unfinished.chmod(0o444)
        unfinished.rename(target)

    async def _download(self, client: httpx.AsyncClient, sha256: str, offset: int) -> AsyncIterator[bytes]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            async with client.stream("GET", f"/internal/v1/artifacts/{sha256}", headers=headers) as answer:
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return
                if not answer.is_success or (offset and answer.status_code != httpx.codes.PARTIAL_CONTENT):
                    raise UnavailableError(f"The control plane answered {answer.status_code} for a model file.")
                async for block in answer.aiter_bytes(_BLOCK):
                    yield block
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"A model file could not be fetched from the control plane ({error or type(error).__name__}).",
                hint="It is tried again by itself.",
            ) from error

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._source.control_url,
            headers={"Authorization": f"Bearer {self._source.token}"},
            timeout=httpx.Timeout(30.0),
            verify=pinned(self._source.certificate) if self._source.certificate else True,
            trust_env=False,
        )


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
        while block := file.read(_BLOCK):
            digest.update(block)
    return path.stat().st_size


async def _read_blocks(path: Path, offset: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block
