"""Content-addressed files on one disk: written once, verified, shared by every version that holds the same bytes.

Layout below the root: `blobs/sha256/ab/<hex>` holds finished files, `partial/<key>` what is still arriving,
`unfinished/<key>/` downloads that broke off before their files were known, `arrivals/<project>/<hex>` says which
project brought what. A name under `blobs` exists only once all of its bytes are on the disk and have been read back
with the right digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from aicp.artifacts.partial import Partial
from aicp.artifacts.unfinished import Unfinished
from aicp.core.errors import InvalidError, NoSpaceError, NotFoundError

_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RESERVE_BYTES = 64 * 2**20
"""What stays free on the disk for the database and the logs."""


class Blobs:
    """The store of files by digest. Safe to use from several threads of one process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._partial = root / "partial"
        self._arrivals = root / "arrivals"
        for directory in (self._blobs, self._partial, self._arrivals):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.unfinished = Unfinished(root / "unfinished")
        self._lock = threading.Lock()
        self._collecting = asyncio.Lock()
        self._pins: Counter[str] = Counter()
        self._touched: set[str] = set()

    def path(self, digest: str) -> Path:
        """Where the file with this digest lies or would lie. Raises NotFoundError for what is no digest."""
        if not _DIGEST.match(digest):
            raise NotFoundError("There is no such file.")
        return self._blobs / digest[:2] / digest

    def exists(self, digest: str) -> bool:
        """Whether the file is here."""
        return self.path(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """The file for reading. Raises NotFoundError when it is not here."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise NotFoundError("There is no such file.") from None

    def verify(self, digest: str) -> bool:
        """Reads the whole file and compares; False when it is absent or damaged."""
        try:
            with self.path(digest).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == digest
        except FileNotFoundError:
            return False

    def add_bytes(self, content: bytes) -> str:
        """Stores a small file; answers its digest."""
        digest = hashlib.sha256(content).hexdigest()
        if not self.exists(digest):
            with self.partial(f"small-{digest}", size_bytes=len(content), sha256=digest) as partial:
                partial.restart()
                partial.write(content)
                return self.keep(partial)
        return digest

    @contextmanager
    def partial(self, key: str, *, size_bytes: int | None = None, sha256: str | None = None) -> Iterator[Partial]:
        """A file in arrival. The same `key` finds what an earlier attempt left; finish it with `keep`.

        `key` names the content as well as its source can tell (place, size, time of change). What is written stays
        for the next attempt when the block raises, except when the disk is full: then it is removed.
        """
        # Without an announced digest nobody could tell whether a power cut damaged what was written before it.
        boot = "" if sha256 else _BOOT_ID.read_text() if _BOOT_ID.exists() else secrets.token_hex()
        name = hashlib.sha256(f"{key}\0{sha256}\0{boot}".encode()).hexdigest()
        partial = Partial.open(self._partial, name, size_bytes=size_bytes, sha256=sha256)
        try:
            yield partial
        except NoSpaceError:
            partial.discard()
            raise
        finally:
            partial.close()

    def keep(self, partial: Partial) -> str:
        """Makes an arrived file permanent and answers its digest.

        Raises InvalidError when size or digest differ from what was announced; the bytes are then thrown away.
        """
        digest = partial.finish()
        target = self.path(digest)
        with self._lock:
            self._touched.add(digest)
            if target.exists():
                partial.discard()
                return digest
            target.parent.mkdir(exist_ok=True, mode=0o700)
            os.replace(partial.path, target)
        _sync_directory(target.parent)
        return digest

    @contextmanager
    def pinned(self) -> Iterator[Callable[[str], bool]]:
        """Protects files from collection until a version refers to them; yields `pin(digest) -> whether it is here`."""
        mine: list[str] = []

        def pin(digest: str) -> bool:
            with self._lock:
                self._pins[digest] += 1
                self._touched.add(digest)
                mine.append(digest)
                return self.exists(digest)

        try:
            yield pin
        finally:
            with self._lock:
                self._pins.subtract(mine)
                self._pins += Counter()

    def check_space(self, needed_bytes: int) -> None:
        """Raises NoSpaceError when `needed_bytes` more would fill the disk."""
        free = shutil.disk_usage(self.root).free
        if needed_bytes + _RESERVE_BYTES > free:
            raise NoSpaceError(
                f"The files need {needed_bytes:,} bytes and the platform's disk has {free:,} free.",
                hint="Free space in the data directory, or remove model versions that nobody uses.",
                details={"needed_bytes": needed_bytes, "free_bytes": free},
            )

    @asynccontextmanager
    async def collection(self) -> AsyncIterator[Callable[[Iterable[str], Collection[str]], int]]:
        """One garbage collection; yields `remove(candidates, referenced) -> bytes freed`.

        Ask the database for the references inside the block: a file that an import touches meanwhile is kept.
        """
        async with self._collecting:  # held while the database is asked, so it must not hold up the event loop
            with self._lock:
                self._touched = set(self._pins)
            yield self._remove

    def _remove(self, candidates: Iterable[str], referenced: Collection[str]) -> int:
        freed = 0
        for digest in candidates:
            with self._lock:
                if digest in referenced or digest in self._touched:
                    continue
                path = self.path(digest)
                try:
                    freed += path.stat().st_size
                    path.unlink()
                except FileNotFoundError:
                    continue
        return freed

    def digests(self, *, older_than: float | None = None) -> Iterator[str]:
        """Every file that is here; `older_than` (seconds since the epoch) leaves out younger ones."""
        for path in self._blobs.glob("??/*"):
            if _DIGEST.match(path.name) and (older_than is None or path.stat().st_mtime < older_than):
                yield path.name

    def note_arrival(self, project: str, digest: str) -> None:
        """Remembers that an import of `project` has brought these bytes itself."""
        place = self._arrivals / project
        place.mkdir(exist_ok=True, mode=0o700)
        (place / digest).touch(mode=0o600)

    def has_brought(self, project: str, digest: str) -> bool:
        """Whether an import of `project` has lately brought these bytes: a digest alone proves nothing."""
        return (self._arrivals / project / digest).exists()

    def forget_partials(self, *, older_than: float) -> int:
        """Removes arrivals that nobody continued since `older_than` (seconds since the epoch); answers how many."""
        count = 0
        for path in (*self._partial.iterdir(), *self._arrivals.glob("*/*")):
            if path.is_file() and path.stat().st_mtime < older_than:
                path.unlink(missing_ok=True)
                count += 1
        return count

    def read(self, digest: str, limit_bytes: int = 16 * 2**20) -> bytes:
        """A small file as a whole. Raises InvalidError beyond `limit_bytes`."""
        with self.open(digest) as file:
            content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise InvalidError(f"The file is larger than {limit_bytes:,} bytes.")
        return content


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
