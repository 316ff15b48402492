"""What a batch has written so far: the one record of which of its lines are done.

A line of result is there once its last byte, the newline, is. So a crash at any moment loses at most lines in flight,
a loss of power those that had not reached the disk. They are run again, and none is ever written twice.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from aicp.artifacts.files import explained_space, sync_directory
from aicp.core.errors import ConflictError

_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BatchResults:
    """Two files, of answers and of errors, open for one writer at a time. Methods may block on the disk."""

    def __init__(self, directory: Path, batch_id: str) -> None:
        """Raises ConflictError while another process writes them."""
        self._answers = _Lines(directory / f"{batch_id}.output")
        try:
            self._errors = _Lines(directory / f"{batch_id}.error")
        except BaseException:
            self._answers.close()
            raise
        self.done = self._answers.names | self._errors.names
        """`custom_id` of every line that has its result."""

    @property
    def completed(self) -> int:
        """Lines with an answer."""
        return self._answers.count

    @property
    def failed(self) -> int:
        """Lines with an error."""
        return self._errors.count

    def add(self, custom_id: str, line: bytes, *, answered: bool) -> None:
        """Writes the result of a line, unless it has one. Raises NoSpaceError; nothing is written then."""
        if custom_id in self.done:
            return
        (self._answers if answered else self._errors).append(line)
        self.done.add(custom_id)

    def finish(self, output: Path, error: Path) -> tuple[int, int]:
        """Makes them the files `output` and `error`; answers their sizes, 0 for an empty one, which is not made."""
        return self._answers.become(output), self._errors.become(error)

    def remove(self) -> None:
        """Forgets them: what they hold is kept elsewhere by now."""
        self._answers.remove()
        self._errors.remove()

    def close(self) -> None:
        """Gives the files back."""
        self._answers.close()
        self._errors.close()

    def __enter__(self) -> BatchResults:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Named(msgspec.Struct):
    custom_id: str


class _Lines:
    """A file of JSON lines that is only ever appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        # an object, so that the lock also ends with one that nobody came to have
        self._file = os.fdopen(handle, "r+b", buffering=0)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ConflictError("Another process works on this batch.", code="batch_busy") from error
        found, self._end = _whole(path)
        self._file.truncate(self._end)
        self.names, self.count = set(found), len(found)

    def append(self, line: bytes) -> None:
        data = memoryview(line + b"\n")
        written = 0
        try:
            with explained_space():
                while written < len(data):
                    written += os.pwrite(self._file.fileno(), data[written:], self._end + written)
        except BaseException:
            self._file.truncate(self._end)
            raise
        self._end += written
        self.count += 1

    def become(self, path: Path) -> int:
        if self._end:
            with explained_space():
                os.fsync(self._file.fileno())
            # as young as the new file's row: the cleanup takes what is old and has none
            os.utime(self._file.fileno())
            os.link(self._path, path)
            sync_directory(path.parent)
        return self._end

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        self._file.close()


def _whole(path: Path) -> tuple[list[str], int]:
    """The names of the whole lines, and where the last of them ends.

    A loss of power may leave a block empty before others that were written: from a broken line on nothing counts.
    """
    found, end = list[str](), 0
    with path.open("rb") as lines, suppress(*_BROKEN):
        for line in lines:
            if not line.endswith(b"\n"):
                break
            found.append(msgspec.json.decode(line, type=_Named).custom_id)
            end += len(line)
    return found, end
