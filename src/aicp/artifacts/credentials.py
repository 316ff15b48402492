"""Credentials of unfinished imports, kept out of the database: sealed files that only the platform's user can read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from aicp.core.errors import ConflictError
from aicp.security.keyring import Keyring

_PURPOSE = "import-credentials"
_ID = re.compile(r"^[a-z0-9_]{1,64}$")


class Credentials:
    """Named by job id. A job's credentials are removed when it ends."""

    def __init__(self, directory: Path, keyring: Keyring) -> None:
        self._directory = directory
        self._keyring = keyring
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, job_id: str, values: Mapping[str, str]) -> None:
        """Keeps the credentials of a job."""
        temporary = self._path(job_id).with_suffix(".new")
        sealed = self._keyring.seal(_PURPOSE, job_id, json.dumps(dict(values)).encode())
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(sealed)
        os.replace(temporary, self._path(job_id))

    def get(self, job_id: str) -> dict[str, str]:
        """The credentials of a job; empty when it has none. Raises ConflictError when they cannot be opened again."""
        try:
            sealed = self._path(job_id).read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return json.loads(self._keyring.open(_PURPOSE, job_id, sealed))
        except ValueError as error:
            raise ConflictError(
                f"The credentials of this import cannot be read: {error}.",
                hint="Start the import again and give them anew.",
            ) from error

    def remove(self, job_id: str) -> None:
        """Forgets them."""
        self._path(job_id).unlink(missing_ok=True)

    def keep_only(self, job_ids: set[str], *, older_than: float) -> None:
        """Forgets those of other jobs, unless younger than `older_than` (seconds since the epoch): a job in making."""
        for path in self._directory.iterdir():
            if path.name not in job_ids and path.stat().st_mtime < older_than:
                path.unlink(missing_ok=True)

    def _path(self, job_id: str) -> Path:
        if not _ID.match(job_id):
            raise ValueError(f"{job_id!r} is no job id")
        return self._directory / job_id
