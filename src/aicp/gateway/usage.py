"""Usage on disk: a record is opened before its engine is called and closed at the end; after a crash none is lost.

The log is a row of segments, `usage-<number>.log`. A line is `+` and the record as it began, with the outcome
`interrupted` that it has if nothing follows, or `-` and the record as it ended. Segments are shipped whole and in
order; a segment's number is its batch's sequence, so the control plane counts it once however often it arrives. When a
segment is sealed, the records still open are written again into the next one: a shipped segment is never needed again.

The present segment has its room on the disk from the start and is written through memory: what is written is the
kernel's at once and survives the process, without a system call for every line. Behind its last line are NUL bytes
until it is sealed. Having its room, it cannot meet a full disk; only a file system that copies what is overwritten
(ZFS) may still end the process then, and the next one goes on from what was written.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Final

import msgspec

from aicp.gateway.record import Record, read_name

_SEGMENT: Final = re.compile(r"usage-(\d{8,})\.log")
_OPEN, _CLOSED = b"+", b"-"
SEGMENT_BYTES: Final = 1 << 20
_SLACK_BYTES: Final = 1 << 16
"""What a segment holds beyond that when the next one cannot begin."""


_encode: Final = msgspec.json.Encoder().encode


class UsageLog:
    """The log of this process. Opening it closes what an earlier process left open, as interrupted."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._open: dict[str, bytes] = {}
        self._late: list[bytes] = []
        self._descriptor = -1
        self._room: mmap.mmap | None = None
        self._size = self._capacity = 0
        self._number = max((number for number, _ in segments(directory)), default=0)
        self._orphans: list[bytes] | None = None
        self._dirty = False
        self._sealed: list[int] = []
        self.closed_here = 0
        """Closed records in the present segment."""
        self.problem: OSError | None = None
        """Why nothing can be written at the moment."""
        self.recover()

    @property
    def number(self) -> int:
        """Number of the segment that is written to; all others are sealed."""
        return self._number

    def begin(self, record: Record) -> None:
        """Opens a record. Raises OSError when it cannot be written; then the request must not go on."""
        if self.problem is not None and not self.recover():
            raise self.problem
        line = _encode(record)
        self._write(b"+%b\n" % line)
        self._open[record.request_id] = line

    def end(self, record: Record) -> None:
        """Closes a record. What cannot be written now is written as soon as there is room.

        Only of a record that was never begun (a refusal) nothing is kept then: their number has no bound.
        """
        begun = self._open.pop(record.request_id, None) is not None
        line = b"-%b\n" % _encode(record)
        if self.problem is None:
            try:
                self._write(line)
                self.closed_here += 1
                if self._size >= self._segment_bytes:
                    # a batch stays small, and so does the memory that shipping it takes
                    self.seal()
                return
            except OSError:
                pass
        if begun:
            self._late.append(line)

    def recover(self) -> bool:
        """Writes what could not be written before; False while that still fails."""
        self.problem = None
        try:
            if self._descriptor < 0:
                self._start_segment()
            while self._late:
                self._write(self._late[-1])
                self._late.pop()
                self.closed_here += 1
        except OSError as error:
            self.problem = error
            return False
        return True

    def seal(self) -> bool:
        """Ends the present segment and begins the next with the records still open. False: nothing to ship, or no room.

        Nothing is lost when it fails midway: the old segment goes on.
        """
        if self.problem is not None or not self.closed_here:
            return False
        try:
            self._start_segment()
        except OSError:
            return False
        return True

    def unsynced(self) -> list[int]:
        """Descriptors that `sync` should be given, in a thread; empty when the disk has everything."""
        if not self._dirty:
            return []
        self._dirty = False
        given, self._sealed = self._sealed, []
        return given if self._descriptor < 0 else [*given, os.dup(self._descriptor)]

    def close(self) -> None:
        """Ends writing."""
        if self._descriptor >= 0:
            self._end_segment()
            os.close(self._descriptor)
            self._descriptor = -1

    def _start_segment(self) -> None:
        """A segment whose head holds the open records, and the orphans of an earlier process as interrupted."""
        if self._orphans is None:
            self._orphans = orphans(path.read_bytes() for _, path in segments(self._directory))
        lines = [b"-%b\n" % line for line in self._orphans] + [b"+%b\n" % line for line in self._open.values()]
        head = b"".join(lines)
        capacity = len(head) + self._segment_bytes + _SLACK_BYTES
        path = segment_path(self._directory, self._number + 1)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, capacity)
            room = mmap.mmap(descriptor, capacity)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        room[: len(head)] = head
        if self._descriptor >= 0:
            self._end_segment()
            self._sealed.append(self._descriptor)
        self._descriptor, self._room, self._capacity = descriptor, room, capacity
        self._number, self._size = self._number + 1, len(head)
        self.closed_here, self._orphans = len(self._orphans), []
        self._dirty = True

    def _end_segment(self) -> None:
        """What was not needed of its room goes back."""
        if self._room is not None:
            self._room.close()
            self._room = None
            os.ftruncate(self._descriptor, self._size)

    def _write(self, line: bytes) -> None:
        try:
            if self._size + len(line) > self._capacity:
                self._start_segment()
        except OSError as error:
            self.problem = error
            raise
        end = self._size + len(line)
        if self._room is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._room[self._size : end] = line
        self._size = end
        self._dirty = True


def sync(descriptors: Iterable[int], directory: Path) -> None:
    """Forces what was written, and the directory's entries, to the disk; closes the descriptors. Blocks."""
    for descriptor in (*descriptors, os.open(directory, os.O_RDONLY)):
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def segments(directory: Path) -> list[tuple[int, Path]]:
    """Number and path of every segment, oldest first."""
    found = [(_SEGMENT.fullmatch(path.name), path) for path in directory.glob("usage-*.log")]
    return sorted((int(match[1]), path) for match, path in found if match)


def segment_path(directory: Path, number: int) -> Path:
    """Where segment `number` is."""
    return directory / f"usage-{number:08d}.log"


def closed_records(segment: bytes) -> list[bytes]:
    """The records that ended in a segment, as JSON. A line that a power loss cut is no record.

    Not decoded: a loss takes the end of a line, or leaves NUL bytes, which JSON never holds.
    """
    # a file's lines are found many bytes at a time, where a split looks at each
    found = [line[1:-1] for line in BytesIO(segment) if line.startswith(b"-{") and line.endswith(b"}\n")]
    return found if segment.find(b"\0") < 0 else [line for line in found if line.find(b"\0") < 0]


def orphans(contents: Iterable[bytes]) -> list[bytes]:
    """The records that were opened in a row of segments and never closed."""
    opened: dict[str, bytes] = {}
    closed: set[str] = set()
    for segment in contents:
        for line in _lines(segment):
            name = read_name(line[1:]).request_id
            if line.startswith(_OPEN):
                opened[name] = line[1:]
            else:
                closed.add(name)
    return [line for name, line in opened.items() if name not in closed]


def _lines(segment: bytes) -> list[bytes]:
    return [line for line in segment.split(b"\n")[:-1] if line[:1] in (_OPEN, _CLOSED) and _sound(line)]


def _sound(line: bytes) -> bool:
    try:
        read_name(line[1:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
