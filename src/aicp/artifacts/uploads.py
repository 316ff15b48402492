"""Files of uploads on the disk: a folder an upload, files named by number, and a manifest for the import."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from aicp.artifacts.partial import explained_space
from aicp.core.errors import ConflictError, InvalidError
from aicp.core.upload import UploadFile


class UploadFiles:
    """All uploads below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def create(self, upload_id: str, files: Sequence[UploadFile]) -> None:
        """Makes the folder with its manifest and all files, empty."""
        folder = self.directory / upload_id
        with explained_space():
            folder.mkdir(mode=0o700)
            for number, _ in enumerate(files):
                (folder / str(number)).touch(mode=0o600)
            manifest = [file.model_dump(mode="json", exclude={"offset"}) for file in files]
            (folder / "manifest.json").write_text(json.dumps(manifest))

    def path(self, upload_id: str, number: int) -> Path:
        """Where file `number` lies."""
        return self.directory / upload_id / str(number)

    def offset(self, upload_id: str, number: int) -> int:
        """Bytes of file `number` that came; 0 when the folder is gone."""
        try:
            return self.path(upload_id, number).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, upload_id: str, number: int, offset: int, chunk: bytes, size_bytes: int) -> None:
        """Writes at `offset`, which must be the end. Raises ConflictError that says where the end is."""
        if offset + len(chunk) > size_bytes:
            raise InvalidError(f"More came than the {size_bytes:,} bytes that were announced.", code="too_many_bytes")
        try:
            handle = os.open(self.path(upload_id, number), os.O_WRONLY | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise ConflictError("The upload is gone.", hint="It may have expired; start a new one.") from error
        try:
            end = os.fstat(handle).st_size
            if end != offset:
                raise ConflictError(
                    f"The next piece of this file starts at {end}, not at {offset}.",
                    hint="Continue there.",
                    code="wrong_offset",
                    details={"offset": end},
                )
            try:
                with explained_space():
                    _write(handle, chunk, offset)
            except BaseException:
                os.ftruncate(handle, offset)
                raise
        finally:
            os.close(handle)

    def remove(self, upload_id: str) -> None:
        """Removes the folder; an absent one is no error."""
        shutil.rmtree(self.directory / upload_id, ignore_errors=True)

    def keep_only(self, upload_ids: set[str], *, older_than: float) -> None:
        """Removes the folders of other uploads that nothing changed in since `older_than` (seconds since the epoch)."""
        for folder in self.directory.iterdir():
            if folder.name not in upload_ids and folder.stat().st_mtime < older_than:
                self.remove(folder.name)


def _write(handle: int, chunk: bytes, offset: int) -> None:
    view = memoryview(chunk)
    while view:
        count = os.pwrite(handle, view, offset)
        view, offset = view[count:], offset + count
