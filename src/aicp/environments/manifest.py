"""The record that makes an environment valid: written last, so that a directory without one is half built."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import AwareDatetime, Field, ValidationError

from aicp.core.value import Value

MANIFEST = "manifest.json"
_PROCESSOR_LINES = ("flags", "Features")


class Manifest(Value):
    """What was built, from what, for which processor."""

    engine: str
    version: str
    variant: str
    packages_digest: str = Field(description="SHA-256 over the locks and what is built beside them")
    repairs_digest: str = Field(description="SHA-256 over the files written into the packages")
    lock_digest: str | None = None
    torch_version: str | None = None
    torch_digest: str | None = Field(default=None, description="SHA-256 of the torch wheel that was taken")
    torch_known: bool | None = Field(default=None, description="whether the definition was tested with that wheel")
    python: str = Field(description="the base interpreter")
    python_version: str
    packages: dict[str, str] = {}
    records_digest: str = Field(description="SHA-256 over every package's list of files and checksums")
    programs: dict[str, str] = Field(default={}, description="compiled program -> SHA-256")
    processor_features: list[str] | None = Field(default=None, description="what a compiled program may use")
    size_bytes: int
    built_at: AwareDatetime


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a finished environment, or None."""
    try:
        return Manifest.model_validate_json((directory / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Puts the manifest in place in one step, on disk before it counts."""
    temporary = directory / f"{MANIFEST}.new"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=2))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / MANIFEST)


def processor_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """What this processor can do, as the kernel lists it; empty where it does not say."""
    try:
        text = cpuinfo.read_text("utf-8")
    except OSError:
        return []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in _PROCESSOR_LINES:
            return sorted(value.split())
    return []


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
