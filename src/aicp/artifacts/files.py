"""The bytes of projects' files: one file each, named by its id, whole or not there at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aicp.core.errors import NoSpaceError

_ARRIVING = ".part"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FileContents:
    """All files below one directory. What a batch writes lies in `work` until it is a file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work = directory / "work"
        self.work.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, file_id: str) -> Path:
        """Where a file lies."""
        return self.directory / file_id

    def arriving(self, file_id: str) -> ArrivingFile:
        """A file that is about to come."""
        return ArrivingFile(self.path(file_id))

    def remove(self, file_id: str) -> None:
        """Removes a file; an absent one is no error."""
        self.path(file_id).unlink(missing_ok=True)

    def keep_only(self, file_ids: set[str], batch_ids: set[str], *, older_than: float) -> None:
        """Removes other files, and what other batches wrote, untouched since `older_than` (seconds since the epoch)."""
        for path in self.directory.iterdir():
            if path != self.work and path.name not in file_ids:
                _remove_old(path, older_than)
        for path in self.work.iterdir():
            if path.name.partition(".")[0] not in batch_ids:
                _remove_old(path, older_than)


class ArrivingFile:
    """Takes pieces in order; `keep` makes them a file, `discard` forgets them. Use from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_suffix(_ARRIVING)
        self.size_bytes = 0
        with explained_space():
            self._handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)

    def write(self, piece: bytes | bytearray) -> None:
        """Appends. Raises NoSpaceError when the disk is full."""
        view = memoryview(piece)
        with explained_space():
            while view:
                view = view[os.write(self._handle, view) :]
        self.size_bytes += len(piece)

    def keep(self) -> None:
        """On the disk under its name from now on."""
        with explained_space():
            os.fsync(self._handle)
        self._close()
        self._partial.replace(self._path)
        sync_directory(self._path.parent)

    def discard(self) -> None:
        """Removes what came; after `keep` it does nothing."""
        self._close()
        self._partial.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def sync_directory(directory: Path) -> None:
    """Names in `directory` outlive a loss of power from now on."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained_space() -> Iterator[None]:
    """Turns a full disk, quota or file size limit into NoSpaceError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoSpaceError(
            "The platform's disk is full, so the file cannot be written.",
            hint="Free space in the data directory, then try again.",
        ) from error


def _remove_old(path: Path, older_than: float) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_mtime < older_than:
            path.unlink()
