"""Unpacks an archive that may be hostile: names never reach the disk, and what comes out is limited."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aicp.core.errors import InvalidError, TooLargeError
from aicp.hubs.base import HubContext

_CHUNK_BYTES = 2**20
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
    ValueError,
    RuntimeError,
)
"""All that the standard library's readers raise for what is no sound archive."""
_MAX_RATIO = 100
_RATIO_FLOOR_BYTES = 16 * 2**20
"""Small archives of repetitive text pack better than the ratio; below this size it does not matter."""
_MAX_FILES = 10_000
_MAX_READ_BYTES = 16 * 2**20


def unpack(archive: Path, into: Path, context: HubContext) -> list[tuple[str, Path]]:
    """(path in the archive, file on the disk) of all regular files; files are named by number.

    Raises InvalidError for links, devices, encrypted or damaged archives, TooLargeError for what unpacks to more than
    100 times its size or the quota. The paths are as the archive says: the caller checks them.
    """
    into.mkdir(exist_ok=True, mode=0o700)
    limit = min(max(archive.stat().st_size * _MAX_RATIO, _RATIO_FLOOR_BYTES), context.settings.quota_bytes)
    writer = _Writer(into, limit, context)
    try:
        with archive.open("rb") as file:
            kind = _kind(file)
            if kind == "zip":
                _unpack_zip(file, writer)
            else:
                _unpack_tar(file, kind, writer)
    except _DAMAGED as error:
        raise InvalidError(
            f"The archive is damaged ({str(error)[:200]}).", hint="Make or download it again.", code="broken_archive"
        ) from error
    if writer.problems:
        shown = ", ".join(f"{item['path'][:200]!r} ({item['reason']})" for item in writer.problems[:5])
        raise InvalidError(
            f"The archive holds what is no plain file: {shown}.",
            hint="Pack the files themselves, without links.",
            code="unsafe_files",
            details={"files": writer.problems[:1000]},
        )
    return _without_top(writer.files)


def _kind(file: IO[bytes]) -> str:
    head = file.read(512)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if head.startswith(b"PK"):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    raise InvalidError(
        "The file is no tar, tar.gz or zip archive and no GGUF file.",
        hint="Name the address of the file itself, not of a web page about it.",
        code="unknown_archive",
    )


class _Writer:
    """Writes numbered files and counts."""

    def __init__(self, into: Path, limit_bytes: int, context: HubContext) -> None:
        self._into = into
        self._limit = limit_bytes
        self._context = context
        self._written = 0
        self.files: list[tuple[str, Path]] = []
        self.problems: list[dict[str, Any]] = []

    def refuse(self, path: str, reason: str) -> None:
        self.problems.append({"path": path, "reason": reason})
        self.count()

    def count(self) -> None:
        if len(self.files) + len(self.problems) > _MAX_FILES:
            raise InvalidError(f"The archive holds more than {_MAX_FILES:,} files.", code="too_many_files")

    def claim(self, total: int) -> None:
        """Raises TooLargeError when `total` bytes have come out."""
        if total > self._limit:
            raise TooLargeError(
                f"The archive unpacks to more than {self._limit:,} bytes, far beyond its own size or the quota.",
                hint="Import from a folder or an object store.",
                code="archive_bomb",
            )

    def write(self, path: str, content: IO[bytes]) -> None:
        place = self._into / f"{len(self.files):06d}"
        with place.open("wb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                self._written += len(chunk)
                self.claim(self._written)
                file.write(chunk)
                self._context.progress.advance(0)
        self.files.append((path, place))
        self.count()


def _unpack_zip(file: IO[bytes], writer: _Writer) -> None:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                writer.refuse(info.filename, "encrypted")
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                writer.refuse(info.filename, "a link or device")
            else:
                with archive.open(info) as content:
                    writer.write(info.filename, content)


def _unpack_tar(file: IO[bytes], kind: str, writer: _Writer) -> None:
    stream = gzip.GzipFile(fileobj=file) if kind == "tar.gz" else file
    with tarfile.open(fileobj=_Limited(stream, writer), mode="r:") as archive:  # pyright: ignore[reportArgumentType]
        for member in _members(archive):
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                writer.refuse(member.name, "a link or device")
            else:
                writer.write(_plain(member.name), content)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    count = 0
    while (member := archive.next()) is not None:
        count += 1
        if count > 2 * _MAX_FILES:  # folders count here, too
            raise InvalidError(f"The archive has more than {2 * _MAX_FILES:,} entries.", code="too_many_files")
        yield member


@dataclass
class _Limited(io.RawIOBase):
    """A stream that hands out no more than the writer allows, and nothing huge at once (long tar headers)."""

    stream: Any
    writer: _Writer

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MAX_READ_BYTES:
            raise TooLargeError("The archive has an oversized header.", code="archive_bomb")
        data = self.stream.read(size)
        self.writer.claim(self.stream.tell())
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()


def _plain(path: str) -> str:
    while path.startswith("./"):
        path = path[2:]
    return path


def _without_top(files: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Leaves out the one folder that archives of a folder have around everything."""
    tops = {path.partition("/")[0] for path, _ in files}
    if len(tops) != 1 or any("/" not in path for path, _ in files) or tops & {"", ".", ".."}:
        return files
    return [(path.partition("/")[2], place) for path, place in files]
