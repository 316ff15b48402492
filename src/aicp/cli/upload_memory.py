"""What this user has sent where: an interrupted upload of a folder goes on when the same command is run again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from aicp.client.uploads import FolderFile

MEMORY = Path(typer.get_app_dir("aicp")) / "uploads"
_KEPT = 100
"""Memories of uploads that were never finished are dropped, oldest first."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An upload and the files as they were when it began."""

    upload_id: str
    files: list[FolderFile]


class UploadMemory:
    """The one memory of a folder's way to a project of a platform; a file that only this user reads."""

    def __init__(self, url: str, project: str, folder: Path) -> None:
        self._meant = {"url": url, "project": project, "folder": str(folder.resolve())}
        name = hashlib.sha256(json.dumps(self._meant, sort_keys=True).encode()).hexdigest()
        self._path = MEMORY / f"{name}.json"

    def recall(self) -> Remembered | None:
        """What was remembered; None for nothing, or nothing that can be read."""
        try:
            kept = json.loads(self._path.read_text())
            return Remembered(kept["upload_id"], [FolderFile(**file) for file in kept["files"]])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, upload_id: str, files: Sequence[FolderFile]) -> None:
        """Remembers an upload, in the place of an earlier one."""
        MEMORY.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._path.with_suffix(f".{os.getpid()}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump({**self._meant, "upload_id": upload_id, "files": [asdict(file) for file in files]}, file)
        fresh.replace(self._path)
        for old in sorted(MEMORY.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)

    def forget(self) -> None:
        """Forgets; nothing remembered is no error."""
        self._path.unlink(missing_ok=True)
