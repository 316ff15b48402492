"""A file in arrival: bytes are hashed while they are written, and read back and hashed again behind the writer."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aicp.artifacts.locks import lock_in_place
from aicp.core.errors import InvalidError, NoSpaceError

_READ_BYTES = 4 * 2**20
_SYNC_BYTES = 64 * 2**20
"""Written data is pushed to the disk in such steps, so that the end does not wait for all of it."""


class Partial:
    """Written by one thread. A second thread follows it and reads back what was written.

    Both digests must agree in the end: the first is of what came, the second of what the file gives back.
    """

    def __init__(self, path: Path, handle: int, *, size_bytes: int | None, sha256: str | None) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.sha256 = sha256
        self.offset = os.fstat(handle).st_size
        self._handle = handle
        self._came = hashlib.sha256()
        self._resumed = self.offset > 0
        self._readback = _Readback(path)
        if self.size_bytes is not None and self.offset > self.size_bytes:
            self.restart()
        self._readback.advance(self.offset)

    @classmethod
    def open(cls, directory: Path, name: str, *, size_bytes: int | None, sha256: str | None) -> Partial:
        """Continues `name`, or starts it. While another import writes the same file, this one gets its own."""
        path = directory / name
        handle = _open_locked(path)
        if handle is None:
            path = directory / f"{name}.{secrets.token_hex(8)}"
            handle = _open_locked(path)
            assert handle is not None
        return cls(path, handle, size_bytes=size_bytes, sha256=sha256)

    @property
    def _shared(self) -> bool:
        return "." not in self.path.name

    def restart(self) -> None:
        """Throws away what is there: the source cannot continue, or is no longer the same."""
        self._readback.stop()
        os.ftruncate(self._handle, 0)
        self.offset = 0
        self._resumed = False
        self._came = hashlib.sha256()
        self._readback = _Readback(self.path)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Appends. Raises NoSpaceError when the disk is full, InvalidError beyond the announced size."""
        view = memoryview(chunk)
        if self.size_bytes is not None and self.offset + len(view) > self.size_bytes:
            raise InvalidError(f"The source sends more than the {self.size_bytes:,} bytes that it announced.")
        with explained_space():
            done = 0
            while done < len(view):
                done += os.pwrite(self._handle, view[done:], self.offset + done)
        if not self._resumed:
            self._came.update(view)
        self.offset += len(view)
        self._readback.advance(self.offset)

    def take(self, path: Path) -> None:
        """Puts a whole file of the same disk here instead of written bytes; `path` stays and must not change."""
        self._readback.stop()
        os.close(self._handle)
        self._handle = -1  # nothing to close again should `path` be gone
        self.path.unlink(missing_ok=True)
        os.link(path, self.path)
        handle = _open_locked(self.path)
        assert handle is not None
        self._handle = handle
        self.offset = os.fstat(handle).st_size
        self._resumed = True
        self._readback = _Readback(self.path)
        self._readback.advance(self.offset)

    def finish(self) -> str:
        """Flushes, verifies and answers the digest. Raises InvalidError when it is not what was announced."""
        if self.size_bytes is not None and self.offset != self.size_bytes:
            raise InvalidError(
                f"The source ended after {self.offset:,} of {self.size_bytes:,} bytes.",
                hint="Run the import again; it continues where this one ended.",
            )
        stored = self._readback.finish()
        with explained_space():
            os.fsync(self._handle)
        wanted = self.sha256 or (None if self._resumed else self._came.hexdigest())
        if wanted is not None and stored != wanted:
            self.discard()
            cause = "what the source announced" if self.sha256 else "what was written"
            raise InvalidError(
                f"The file's SHA-256 is {stored} and not {wanted}, which is {cause}.",
                hint="The source or the disk is damaged; check it and import again.",
                code="digest_mismatch",
            )
        os.fchmod(self._handle, 0o444)  # the folders above keep others out; agents link it for engines
        return stored

    def discard(self) -> None:
        """Removes the file."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Ends the threads and gives the lock back; what was written stays if a later attempt can find it."""
        self._readback.stop()
        if not self._shared:
            self.discard()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class _Readback:
    """Hashes a growing file in its own thread, never beyond what the writer reported."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._ready = threading.Condition()
        self._written = 0
        self._ended = False
        self._stopped = False
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None

    def advance(self, written: int) -> None:
        """Bytes up to `written` may be read."""
        with self._ready:
            self._written = written
            self._ready.notify()
        if self._thread is None and written:
            self._thread = threading.Thread(target=self._run, name="aicp-readback", daemon=True)
            self._thread.start()

    def finish(self) -> str:
        """Waits until everything has been read; the digest."""
        with self._ready:
            self._ended = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._digest.hexdigest()

    def stop(self) -> None:
        """Ends the thread without waiting for the rest."""
        with self._ready:
            self._stopped = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._read()
        except OSError as error:
            self._failure = error

    def _read(self) -> None:
        buffer = bytearray(_READ_BYTES)
        view = memoryview(buffer)
        position = synced = 0
        with self._path.open("rb", buffering=0) as file:
            while (limit := self._wait(position)) > position:
                count = file.readinto(view[: min(limit - position, _READ_BYTES)])
                if not count:
                    raise OSError(errno.EIO, "the file is shorter than what was written")
                self._digest.update(view[:count])
                position += count
                if position - synced >= _SYNC_BYTES:
                    os.fdatasync(file.fileno())
                    synced = position

    def _wait(self, position: int) -> int:
        with self._ready:
            self._ready.wait_for(lambda: self._stopped or self._ended or self._written > position)
            return position if self._stopped else self._written


def _open_locked(path: Path) -> int | None:
    return lock_in_place(path, lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))


@contextmanager
def explained_space() -> Iterator[None]:
    """Turns a full disk, quota or file size limit into NoSpaceError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise NoSpaceError(
            "The platform's disk is full; nothing of this import was kept.",
            hint="Free space in the data directory, then import again.",
        ) from error
