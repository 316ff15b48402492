"""The digest that names the content of a version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from aicp.core.model import ModelFile


def version_digest(files: Iterable[ModelFile]) -> str:
    """Hex SHA-256 over `path NUL sha256 LF` of all files, sorted by path: same files, same digest, anywhere."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        digest.update(f"{file.path}\0{file.sha256}\n".encode())
    return digest.hexdigest()
