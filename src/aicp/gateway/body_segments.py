"""Bodies on the gateway's disk: a row of segments, `requests-<number>.log`, of one JSON line a request.

What was written survives the process. Only segments that nothing is written to any more are shipped; the number of
the last one is never used again, so a batch has one number for ever. Written and sealed in threads.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from pathlib import Path

_SEGMENT = re.compile(r"requests-(\d{8,})\.log")
_SEGMENT_BYTES = 1 << 20
MOST_BYTES = 1 << 28
_RESERVE_BYTES = 1 << 26
"""What bodies leave free of the disk: usage, without which nothing is served, needs it more."""


class BodySegments:
    """The segments in `directory`, never much more than `most_bytes`: the oldest make room for new ones."""

    def __init__(
        self,
        directory: Path,
        *,
        most_bytes: int = MOST_BYTES,
        segment_bytes: int = _SEGMENT_BYTES,
        reserve_bytes: int = _RESERVE_BYTES,
    ) -> None:
        self._directory, self._most_bytes = directory, most_bytes
        self._segment_bytes, self._reserve_bytes = segment_bytes, reserve_bytes
        self._number = max((number for number, _ in self._all()), default=0)
        self._descriptor = -1
        self._size = 0
        self._lock = threading.Lock()
        self.dropped = 0
        """Bodies that were written, not shipped in time, and made room for others."""

    def append(self, line: bytes) -> None:
        """Writes a line, whole or not at all. Raises OSError."""
        with self._lock:
            self._make_room()
            if self._descriptor < 0 or self._size + len(line) > self._segment_bytes:
                self._begin()
            try:
                left = line
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                raise
            self._size += len(line)

    def seal(self) -> None:
        """Ends the present segment if it holds something."""
        with self._lock:
            if self._size:
                self._end()

    def sealed(self) -> list[tuple[int, Path]]:
        """Number and path of what can be shipped, oldest first."""
        with self._lock:
            last = self._number - (self._descriptor >= 0)
            return [(number, path) for number, path in self._all() if number <= last and _size(path)]

    def done(self, number: int) -> None:
        """Segment `number` is needed no more. The last one stays, empty, so that its number is known."""
        with self._lock:
            path = self._path(number)
            if number == self._number:
                os.truncate(path, 0)
            else:
                path.unlink(missing_ok=True)

    def lines(self, path: Path) -> list[bytes]:
        """The lines of a segment; one that a crash cut is none."""
        try:
            return path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []  # it has made room

    def close(self) -> None:
        """Ends writing."""
        with self._lock:
            self._end()

    def _begin(self) -> None:
        self._end()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._descriptor = os.open(self._path(self._number + 1), flags, 0o600)
        self._number += 1
        for number, path in self._all():
            if number < self._number and not _size(path):
                path.unlink(missing_ok=True)

    def _end(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._size = -1, 0

    def _make_room(self) -> None:
        free = os.statvfs(self._directory)
        if free.f_bavail * free.f_frsize < self._reserve_bytes:
            raise OSError(errno.ENOSPC, "what is left of the disk is kept for usage")
        found = [(number, path, _size(path)) for number, path in self._all()]
        total = sum(size for _, _, size in found)
        for number, path, size in found:
            if total <= self._most_bytes or number == self._number:
                return
            self.dropped += len(self.lines(path))
            path.unlink(missing_ok=True)
            total -= size

    def _all(self) -> list[tuple[int, Path]]:
        return _segments(self._directory)

    def _path(self, number: int) -> Path:
        return self._directory / f"requests-{number:08d}.log"


def holds_bodies(directory: Path) -> bool:
    """Whether bodies wait in a place."""
    return any(_size(path) for _, path in _segments(directory))


def _segments(directory: Path) -> list[tuple[int, Path]]:
    found = [(_SEGMENT.fullmatch(path.name), path) for path in directory.glob("requests-*.log")]
    return sorted((int(match[1]), path) for match, path in found if match)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
