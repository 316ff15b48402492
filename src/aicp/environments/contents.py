"""What lies in an installed environment: its packages, its size, and whether its files are what was installed."""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

from aicp.environments.base import RepairFile
from aicp.environments.manifest import Manifest, file_digest


def site_packages(directory: Path) -> Path:
    """The folder of the environment's packages."""
    return next((directory / "lib").glob("python3.*")) / "site-packages"


def packages(directory: Path) -> dict[str, str]:
    """Installed package -> version, read from the names of their records."""
    found: dict[str, str] = {}
    for record in sorted(site_packages(directory).glob("*.dist-info/RECORD")):
        name, _, version = record.parent.name.removesuffix(".dist-info").partition("-")
        found[name] = version
    return found


def records_digest(directory: Path) -> str:
    """SHA-256 over all records: together with the checksums inside them it fixes every installed file."""
    digest = hashlib.sha256()
    for record in sorted(site_packages(directory).glob("*.dist-info/RECORD")):
        digest.update(record.parent.name.encode())
        digest.update(record.read_bytes())
    return digest.hexdigest()


def tree_size(directory: Path) -> int:
    """Bytes that the files of a tree take, links not followed."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def find_problems(directory: Path, manifest: Manifest) -> list[str]:
    """Every installed file that is missing or changed, one sentence each; empty when all is well."""
    problems: list[str] = []
    if not (directory / "bin" / "python").exists():
        problems.append(f"its Python is gone: {manifest.python}")
    if records_digest(directory) != manifest.records_digest:
        problems.append("the list of installed packages has changed")
    for program, digest in manifest.programs.items():
        path = directory / "bin" / program
        if not path.is_file() or file_digest(path) != digest:
            problems.append(f"{program} is missing or changed")
    root = site_packages(directory)
    for record in sorted(root.glob("*.dist-info/RECORD")):
        problems += _changed_files(root, record)
    return problems


def find_changed_repairs(directory: Path, repairs: Sequence[RepairFile]) -> list[str]:
    """Every repair that is missing or changed, one sentence each."""
    root = site_packages(directory)
    return [
        f"{repair.path} is missing or changed"
        for repair in repairs
        if not (root / repair.path).is_file() or (root / repair.path).read_text("utf-8") != repair.text
    ]


def _changed_files(root: Path, record: Path) -> list[str]:
    problems: list[str] = []
    with record.open(newline="", encoding="utf-8") as file:
        for name, checksum, _size in csv.reader(file):
            algorithm, _, expected = checksum.partition("=")
            # Some wheels carry compiled Python, which the installer writes anew.
            if algorithm != "sha256" or "__pycache__" in name:
                continue
            path = root / name
            if not path.is_file():
                problems.append(f"{name} is missing")
            elif _record_checksum(path) != expected:
                problems.append(f"{name} has changed")
    return problems


def _record_checksum(path: Path) -> str:
    digest = bytes.fromhex(file_digest(path))
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
