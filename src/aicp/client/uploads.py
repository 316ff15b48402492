"""Files sent from this machine: in pieces, taken up again after every interruption, compared by their digests."""

from __future__ import annotations

import builtins
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aicp.client.transport import Transport
from aicp.core.errors import AicpError, ConflictError, InvalidError, NoSpaceError
from aicp.core.upload import Upload, UploadCreate, UploadFileCreate, UploadOffset, UploadState, UploadSummary
from aicp.core.value import Page

PIECE_BYTES = 8 * 1024 * 1024
_READ_BYTES = 4 * 1024 * 1024
_TRIES = 24
"""In a row without a byte more; with the longest pause that is some five minutes, enough for a restart or an update."""
_LONGEST_PAUSE_SECONDS = 15.0
_PASSING = frozenset({"wrong_offset", "piece_under_way"})
"""Conflicts that a look at the platform's own offset solves."""

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file as it was when it was read: relative POSIX path, size, time of change, SHA-256 (hex)."""

    path: str
    size_bytes: int
    modified_ns: int
    sha256: str


def read_folder(
    directory: Path, known: Mapping[str, FolderFile] | None = None, progress: Progress | None = None
) -> list[FolderFile]:
    """All files under `directory` with their digests; what is unchanged since `known` (by path) is not read again.

    Raises InvalidError for a folder without files, or when a file changes meanwhile.
    """
    if not directory.is_dir():
        raise InvalidError(f"{directory} is not a folder on this machine.")
    names = sorted(_relative_files(directory))
    if not names:
        raise InvalidError(f"{directory} holds no files.", hint="Name the folder that holds the model's files.")
    total, done = sum((directory / name).stat().st_size for name in names), 0
    files: list[FolderFile] = []
    for name in names:
        state = (directory / name).stat()
        file = (known or {}).get(name)
        if file is None or (file.size_bytes, file.modified_ns) != (state.st_size, state.st_mtime_ns):
            digest = hashlib.sha256()
            for chunk in _chunks(directory / name):
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
            file = FolderFile(name, state.st_size, state.st_mtime_ns, digest.hexdigest())
            _refuse_changed(directory, file)
        else:
            done += file.size_bytes
        files.append(file)
    return files


class Uploads:
    """Files sent from this machine, in pieces that can be taken up again."""

    def __init__(self, transport: Transport, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """`sleep` waits between tries."""
        self._transport = transport
        self._sleep = sleep

    def create(self, files: Sequence[UploadFileCreate], *, project: str = "default") -> Upload:
        """Announces files; answers the upload with its id and the offset of each file."""
        return self._transport.post("/api/v1/uploads", Upload, UploadCreate(project=project, files=list(files)))

    def list(self) -> builtins.list[UploadSummary]:
        """The caller's own uploads, newest first."""
        return self._transport.get("/api/v1/uploads", Page[UploadSummary], {"limit": 500}).items

    def get(self, upload_id: str) -> Upload:
        """An upload with the offset of each file."""
        return self._transport.get(f"/api/v1/uploads/{upload_id}", Upload)

    def delete(self, upload_id: str) -> None:
        """Gives an upload up."""
        self._transport.delete(f"/api/v1/uploads/{upload_id}")

    def put(self, upload_id: str, path: str, offset: int, content: bytes) -> UploadOffset:
        """Appends one piece to a file. Raises ConflictError with the right offset in `details`."""
        target = f"/api/v1/uploads/{upload_id}/files/{quote(path)}"
        response = self._transport.send("PUT", target, content=content, query={"offset": offset})
        return UploadOffset.model_validate_json(response.content)

    def send_directory(
        self,
        directory: Path,
        *,
        project: str = "default",
        resume: str | None = None,
        progress: Progress | None = None,
        started: Callable[[str], None] | None = None,
    ) -> str:
        """Sends all files under `directory`; answers the upload's id, which `started` is told before the first byte.

        `resume` takes up an interrupted one. Raises InvalidError when the folder is not what was announced.
        """
        files = read_folder(directory)
        upload = self.get(resume) if resume else self.announce(files, project=project)
        if started:
            started(upload.id)
        self.send(upload, directory, files, progress=progress)
        return upload.id

    def announce(self, files: Sequence[FolderFile], *, project: str = "default") -> Upload:
        """A new upload of `files` with their digests, which the platform compares with what comes."""
        described = [UploadFileCreate(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256) for file in files]
        return self.create(described, project=project)

    def send(
        self, upload: Upload, directory: Path, files: Sequence[FolderFile], *, progress: Progress | None = None
    ) -> None:
        """Sends what of `upload` has not come yet; waits out broken connections and restarts of the platform.

        Raises InvalidError when `files` are not those of the upload or change meanwhile, ConflictError for an upload
        that was refused or imported, and UnavailableError when the platform stays away for minutes.
        """
        _refuse_state(upload)
        _refuse_other_files(upload, files)
        offsets = {file.path: file.offset for file in upload.files}
        total, sent = sum(file.size_bytes for file in files), sum(offsets.values())
        if progress:
            progress(sent, total)
        for file in files:
            before = offsets[file.path]
            for offset in self._send_file(upload.id, directory, file, before):
                sent, before = sent + offset - before, offset
                if progress:
                    progress(sent, total)

    def _send_file(self, upload_id: str, directory: Path, file: FolderFile, offset: int) -> Iterator[int]:
        """Yields the platform's offset after every piece."""
        with (directory / file.path).open("rb") as reader:
            while offset < file.size_bytes:
                reader.seek(offset)
                chunk = reader.read(min(PIECE_BYTES, file.size_bytes - offset))
                _refuse_changed(directory, file)
                offset = self._put_patiently(upload_id, file, offset, chunk)
                yield offset

    def _put_patiently(self, upload_id: str, file: FolderFile, offset: int, chunk: bytes) -> int:
        """Where the next piece starts once at least a part of this one has arrived."""
        for attempt in range(_TRIES):
            try:
                found = offset if attempt == 0 else self._offset(upload_id, file)
                if found != offset:  # a part of the piece, or a file that the platform has lost
                    return found
                return self.put(upload_id, file.path, offset, chunk).offset
            except AicpError as error:
                if attempt == _TRIES - 1 or not _may_pass(error):
                    raise
                self._sleep(min(0.5 * 2**attempt, _LONGEST_PAUSE_SECONDS))
        raise AssertionError("the last try returns or raises")

    def _offset(self, upload_id: str, file: FolderFile) -> int:
        upload = self.get(upload_id)
        _refuse_state(upload)
        return next(found.offset for found in upload.files if found.path == file.path)


def _may_pass(error: AicpError) -> bool:
    """Whether another try may go well: the connection broke, the platform restarts, or its offset is another."""
    if isinstance(error, ConflictError):
        return error.code in _PASSING
    return error.status in (408, 429) or (error.status >= 500 and not isinstance(error, NoSpaceError))


def _refuse_state(upload: Upload) -> None:
    if upload.state is UploadState.REFUSED:
        raise ConflictError(
            f"The upload was refused: {upload.error}", hint="Send the files again.", code="upload_refused"
        )
    if upload.state is UploadState.IMPORTED:
        raise ConflictError(
            f"Upload {upload.id} has been imported already.", hint="Send the files again.", code="upload_imported"
        )


def _refuse_other_files(upload: Upload, files: Sequence[FolderFile]) -> None:
    announced = {file.path: file for file in upload.files}
    here = {file.path: file for file in files}
    differing = sorted(announced.keys() ^ here.keys())
    for path in announced.keys() & here.keys():
        known, found = announced[path], here[path]
        if known.size_bytes != found.size_bytes or known.sha256 not in (None, found.sha256):
            differing.append(path)
    if differing:
        raise InvalidError(
            f"The folder is not what upload {upload.id} began with; different: {', '.join(sorted(differing)[:10])}.",
            hint="Send it as a new upload: run the import again without --resume.",
            code="folder_changed",
            details={"files": sorted(differing)[:1000]},
        )


def _refuse_changed(directory: Path, file: FolderFile) -> None:
    try:
        state = (directory / file.path).stat()
        same = (state.st_size, state.st_mtime_ns) == (file.size_bytes, file.modified_ns)
    except FileNotFoundError:
        same = False
    if not same:
        raise InvalidError(
            f"{file.path} changed while it was sent.",
            hint="Wait until nothing writes to the folder, then run the import again.",
            code="folder_changed",
        )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            yield chunk


def _relative_files(directory: Path) -> Iterator[str]:
    for folder, _, files in os.walk(directory):
        for file in files:
            yield (Path(folder) / file).relative_to(directory).as_posix()
