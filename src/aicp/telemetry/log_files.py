"""Log files that another process writes: rotated without its help, read while it writes, kept when it dies."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

_BLOCK = 64 * 1024


class LogFile:
    """A file that a process appends to through a descriptor it inherited.

    The descriptor is in append mode, so rotation copies the file and cuts it to nothing and the writer goes on at the
    start. What is written between copy and cut (microseconds) may be lost; nothing else is.
    """

    def __init__(self, path: Path, *, limit_bytes: int = 16 * 1024 * 1024, keep: int = 3) -> None:
        self.path = path
        self._limit = limit_bytes
        self._keep = keep

    def open(self) -> int:
        """A descriptor for the writer, append mode, the file made with mode 0600. The caller closes it."""
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, text: str) -> None:
        """Appends a line of the platform's own; a full disk swallows it."""
        with contextlib.suppress(OSError):
            descriptor = self.open()
            try:
                os.write(descriptor, f"aicp: {text}\n".encode())
            finally:
                os.close(descriptor)

    def rotate(self) -> bool:
        """Moves the content to `<name>.1` once it is beyond the limit, older ones to `.2` ...; True when it did."""
        if not self.path.exists() or self.path.stat().st_size < self._limit:
            return False
        fresh = self.path.with_name(f".{self.path.name}.new")
        shutil.copy2(self.path, fresh)
        os.truncate(self.path, 0)
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._rotated(number), self._rotated(number + 1))
        # last, because a new `<name>.1` tells followers that the file begins anew
        os.replace(fresh, self._rotated(1))
        return True

    def tail(self, lines: int) -> str:
        """The last `lines` lines, reaching back into rotated files; empty when nothing was ever written."""
        text = b""
        for path in (self.path, *(self._rotated(number) for number in range(1, self._keep + 1))):
            wanted = lines - text.count(b"\n")
            if wanted <= 0 or not path.exists():
                break
            text = _last_lines(path, wanted) + text
        return text.decode(errors="replace")

    async def follow(self, finished: Callable[[], bool], interval_seconds: float = 0.2) -> AsyncIterator[str]:
        """What is added from now on, until `finished()`; survives rotation."""
        position, rotation = self._size(), self._rotation()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            done = finished()
            added = b""
            if self._rotation() != rotation:
                rotation = self._rotation()
                added = _read_from(self._rotated(1), position)
                position = 0
            rest = _read_from(self.path, position)
            position += len(rest)
            if added or rest:
                yield decoder.decode(added + rest)
            elif done:
                return
            else:
                await asyncio.sleep(interval_seconds)

    def _rotation(self) -> tuple[int, int] | None:
        with contextlib.suppress(FileNotFoundError):
            found = self._rotated(1).stat()
            return found.st_ino, found.st_mtime_ns
        return None

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _read_from(path: Path, position: int) -> bytes:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(position)
        return file.read()
    return b""


def _last_lines(path: Path, lines: int) -> bytes:
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        text = b""
        while position > 0 and text.count(b"\n") <= lines:
            step = min(_BLOCK, position)
            position -= step
            file.seek(position)
            text = file.read(step) + text
    return b"".join(text.splitlines(keepends=True)[-lines:])
