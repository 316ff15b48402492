"""Packages made on the spot, and environment definitions that install them."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

from aicp.environments.base import Definition, EnvironmentKey, RepairFile

KEY = EnvironmentKey("toy", "1.0", "cpu")


def make_wheel(directory: Path, name: str = "toybox", code: str = "ANSWER = 42\n") -> Path:
    """A wheel of one module `name`, version 1.0."""
    directory.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_checksum(text)},{len(text)}\n" for path, text in files.items())
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(file, text)
    return path


def make_definition(locks: Path, wheel: Path, *, digest: str | None = None, probe: str | None = None) -> Definition:
    """A definition that installs `wheel` by its checksum, or by a given, wrong one."""
    locks.mkdir(parents=True, exist_ok=True)
    found = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    name = wheel.name.split("-", 1)[0]
    (locks / "toy.txt").write_text(f"{name}==1.0 \\\n    --hash=sha256:{found}\n")
    return Definition(
        key=KEY,
        title="Toy 1.0",
        evidence="made by a test",
        pythons=("3.11", "3.12", "3.13"),
        machines=("x86_64", "aarch64"),
        approximate_bytes=1000,
        probe=probe or f"import {name}, toy_repair; assert {name}.ANSWER == toy_repair.ANSWER",
        lock="toy.txt",
        repairs=(RepairFile("toy_repair.py", "ANSWER = 42\n", "the test wants one"),),
        locks=locks,
    )


def _checksum(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
