"""Bodies of requests in a file, for a gateway that stands alone: JSON lines that one can read, rotated by size.

A batch is its lines and then `{"batch": <sequence>}`. What stands behind the last of those when the gateway starts is
the part of a batch that a crash cut; it is cut off, and comes again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from aicp.gateway.body_entries import BodyEntry, plain

_TAIL_BYTES = 1 << 26
_entry = msgspec.json.Decoder(BodyEntry).decode
_encode = msgspec.json.Encoder().encode


class _Mark(msgspec.Struct):
    """The end of a batch, as far as a line is one."""

    batch: int | None = None


_mark = msgspec.json.Decoder(_Mark).decode


class BodyFile:
    """The file at `path`; `path.1` is the one before it, and so on, `files` in all of about `most_bytes` each."""

    def __init__(self, path: Path, *, most_bytes: int, files: int) -> None:
        self._path, self._most_bytes, self._files = path, most_bytes, files
        self._lock = threading.Lock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sequence = max(self._take_up(), _last_mark(self._older(1)))

    def write(self, sequence: int, records: Sequence[bytes]) -> None:
        """Appends a batch that was not written before. Raises OSError, and then nothing of it is there."""
        with self._lock:
            if sequence <= self._sequence:
                return
            data = b"".join(map(_readable, records)) + b'{"batch":%d}\n' % sequence
            self._rotate(len(data))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                _append(descriptor, data)
            finally:
                os.close(descriptor)
            self._sequence = sequence

    def _rotate(self, more: int) -> None:
        """Begins a new file where the present one would become too long."""
        if not self._path.exists() or self._path.stat().st_size + more <= self._most_bytes:
            return
        for number in range(self._files - 1, 0, -1):
            newer = self._older(number - 1) if number > 1 else self._path
            with suppress(FileNotFoundError):
                newer.replace(self._older(number))
        if self._files == 1:
            self._path.unlink()

    def _take_up(self) -> int:
        """The last batch that is whole; what stands behind it is cut off."""
        if not self._path.exists():
            return 0
        last, whole = _last_batch(self._path)
        os.truncate(self._path, whole)
        return last

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _append(descriptor: int, data: bytes) -> None:
    before = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _readable(record: bytes) -> bytes:
    entry = _entry(record)
    line = {
        **{name: getattr(entry, name) for name in entry.__struct_fields__},
        "request": plain(entry.request),
        "answer": plain(entry.answer),
    }
    return _encode(line) + b"\n"


def _last_mark(path: Path) -> int:
    return _last_batch(path)[0] if path.exists() else 0


def _last_batch(path: Path) -> tuple[int, int]:
    """The number of the last batch that is whole, and where it ends."""
    with path.open("rb") as file:
        start = max(path.stat().st_size - _TAIL_BYTES, 0)
        file.seek(start)
        data = file.read()
    end = len(data)
    while end > 0:
        end = data.rfind(b"\n", 0, end)
        if end < 0:
            break
        before = data.rfind(b"\n", 0, end)
        line = data[before + 1 : end]
        if line.startswith(b'{"batch":'):
            with suppress(msgspec.DecodeError):
                return _mark(line).batch or 0, start + end + 1
    return 0, start
