"""Files that a user sent: a folder below the uploads directory with a manifest and numbered files."""

from __future__ import annotations

import json
from pathlib import Path

from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.ids import is_name
from aicp.core.model import UploadSource
from aicp.hubs.base import HubContext, HubFile, Listing, Sink


class UploadHub:
    """Reads what the upload use case wrote: `manifest.json` = [{path, size_bytes, sha256}], file n is named `n`."""

    local = True

    def resolve(self, source: UploadSource, context: HubContext) -> Listing:
        folder = _folder(source, context)
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
        except FileNotFoundError:
            raise NotFoundError(f"There is no upload {source.upload_id!r}.", hint="It may have expired.") from None
        files = [
            HubFile(item["path"], item["size_bytes"], item.get("sha256"), stamp=source.upload_id, handle=str(number))
            for number, item in enumerate(manifest)
        ]
        waiting = [file.path for file in files if not _is_complete(folder, file)]
        if waiting:
            raise ConflictError(
                f"{len(waiting)} files of the upload are not complete: {', '.join(waiting[:5])}.",
                hint="Send the rest, then import.",
                code="upload_incomplete",
            )
        return Listing(identity=f"upload:{source.upload_id}", files=files, strict=True)

    def fetch(self, source: UploadSource, file: HubFile, sink: Sink, context: HubContext) -> None:
        try:
            sink.take(_folder(source, context) / file.handle)
        except FileNotFoundError:
            raise NotFoundError(
                f"The files of upload {source.upload_id!r} are gone.", hint="It was imported or deleted; send it again."
            ) from None
        context.progress.advance(file.size_bytes)


def _folder(source: UploadSource, context: HubContext) -> Path:
    if not is_name(source.upload_id):
        raise NotFoundError("There is no such upload.")
    return context.settings.uploads_dir / source.upload_id


def _is_complete(folder: Path, file: HubFile) -> bool:
    try:
        return (folder / file.handle).stat().st_size == file.size_bytes
    except FileNotFoundError:
        return False


driver = UploadHub()
