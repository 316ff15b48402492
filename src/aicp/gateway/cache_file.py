"""What a gateway's cache holds, on disk: a file that grows by whole lines, and is written anew when much of it is past.

After a crash everything up to the last whole line is there. A line is its length, a checksum, and the entry. Nothing
is forced to the disk: after a loss of power a line may be missing, which costs one call of an engine.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec

log = logging.getLogger(__name__)

CACHE_NAME = "cache.log"
"""The file in a gateway's place."""
_HEADER = b"aicp cache 1\n"
_FRAME = struct.Struct(">II")
_LONGEST_LINE = 1 << 24
_SLACK_BYTES = 1 << 22
_MOST_BYTES = 1 << 28


class Line(msgspec.Struct, array_like=True, gc=False):
    """One entry, and whose it is. `vector` is of half floats; empty where there is none."""

    project: str
    model: str
    generation: str
    key: bytes
    made_at: float
    kind: str
    body: bytes
    tokens: int
    space: bytes = b""
    gist: bytes = b""
    vector: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Line).decode


class CacheFile:
    """Only one process has it open. A disk that is full ends the writing, never a request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._since: list[bytes] | None = None
        self.size = 0
        """Bytes of the file."""

    def read(self) -> Iterator[Line]:
        """All entries in the order in which they came; what follows the last whole one is cut off. Raises OSError."""
        sound = 0
        try:
            with self._path.open("rb") as file:
                if file.read(len(_HEADER)) == _HEADER:
                    sound = len(_HEADER)
                    while (line := _next(file.read)) is not None:
                        sound += _FRAME.size + line[0]
                        yield line[1]
        except FileNotFoundError:
            return
        if sound < self._path.stat().st_size:
            log.warning("the end of %s is no whole entry and is left out", self._path)
            os.truncate(self._path, sound)

    def append(self, line: Line) -> None:
        """Writes an entry behind the others, unless the disk refuses or the file has no room until it is rewritten."""
        data = _framed(line)
        if self._since is not None:
            self._since.append(data)
        try:
            if self._descriptor < 0:
                self._open()
            if self.size + len(data) <= _MOST_BYTES:
                self._write(data)
        except OSError as error:
            log.warning("an answer cannot be kept in %s: %s", self._path, error)
            self.close()

    def is_stale(self, live: int) -> bool:
        """Whether it is worth to write it anew, when `live` bytes of it are still of use."""
        return self.size > 2 * live + _SLACK_BYTES

    def begin_rewrite(self) -> None:
        """From now on what is appended will follow the rewritten file, too."""
        self._since = []

    def rewrite(self, lines: Iterable[Line]) -> None:
        """Writes `lines` beside the file, in a thread. Raises OSError."""
        with os.fdopen(os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(_HEADER)
            for line in lines:
                file.write(_framed(line))

    def end_rewrite(self, *, written: bool) -> None:
        """Puts the new file in the place of the old one, with what came meanwhile. Raises OSError."""
        since, self._since = self._since or [], None
        if not written:
            self._fresh.unlink(missing_ok=True)
            return
        with self._fresh.open("ab") as file:
            file.write(b"".join(since))
        self.close()
        self._fresh.replace(self._path)
        self._open()

    def remove(self) -> None:
        """Nothing is kept any more."""
        self.close()
        self.size = 0
        try:
            self._path.unlink(missing_ok=True)
            self._fresh.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed: %s", self._path, error)

    def close(self) -> None:
        """Ends writing until the next entry."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        """All of it or nothing: behind half a line nothing would be found again."""
        written = os.write(self._descriptor, data)
        if written < len(data):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += written

    @property
    def _fresh(self) -> Path:
        return self._path.with_name(f".{self._path.name}.new")

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self._descriptor).st_size
        if not self.size:
            self.size = os.write(self._descriptor, _HEADER)


def _framed(line: Line) -> bytes:
    data = _encode(line)
    return _FRAME.pack(len(data), crc32(data)) + data


def _next(read: Callable[[int], bytes]) -> tuple[int, Line] | None:
    """The next entry and its length; None at the end, or where there is none that is whole."""
    frame = read(_FRAME.size)
    if len(frame) < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(frame)
    data = read(length) if length <= _LONGEST_LINE else b""
    if len(data) < length or crc32(data) != checksum:
        return None
    try:
        return length, _decode(data)
    except msgspec.DecodeError:
        return None
