"""The steps that turn an empty directory into an engine's environment."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicp.core.job import JobProgress
from aicp.core.quantity import parse_bytes
from aicp.environments.base import Definition, Report
from aicp.environments.commands import installer_environment, run_command
from aicp.environments.contents import site_packages
from aicp.environments.definitions import count_packages

_COLLECTING = re.compile(r"^Collecting (\S+?)(?:==\S+)?(?: \(from|$)")
_DOWNLOADING = re.compile(r"^\s*Downloading \S+ \(([0-9.]+ ?[kMGT]?B)\)")


@dataclass(slots=True)
class PipProgress:
    """Reads pip's lines: which package of how many it is at, and how many bytes came down."""

    phase: str
    total: int
    report: Report
    done: int = 0
    downloaded_bytes: int = 0

    def line(self, text: str) -> None:
        """One line of pip's output."""
        collecting = _COLLECTING.match(text)
        downloading = _DOWNLOADING.match(text)
        if downloading:
            self.downloaded_bytes += parse_bytes(downloading.group(1).replace("B", ""))
        if collecting:
            self.done = min(self.done + 1, self.total)
            self._tell(collecting.group(1))
        elif text.startswith("Installing collected packages"):
            self.done = self.total
            self._tell("unpacking all packages")

    def _tell(self, message: str) -> None:
        size = f"; {self.downloaded_bytes / 1e6:.0f} MB downloaded" if self.downloaded_bytes else ""
        self.report(
            JobProgress(
                phase=self.phase,
                done=self.done,
                total=self.total,
                unit="packages",
                message=message + size,
            )
        )


@dataclass(frozen=True, slots=True)
class Installer:
    """Runs pip and its kin for one directory, always with the same surroundings."""

    directory: Path
    locks: Path
    log: Path
    parent: Mapping[str, str]
    wheelhouse: Path | None
    report: Report

    @property
    def python(self) -> Path:
        """The environment's own interpreter."""
        return self.directory / "bin" / "python"

    async def create(self, base: Path) -> None:
        """Makes the empty virtual environment on the interpreter `base`."""
        self.report(JobProgress(phase="creating the environment", unit="steps"))
        self.directory.mkdir(mode=0o755)
        await self._run([str(base), "-m", "venv", str(self.directory)])

    async def install_lock(self, lock: str, phase: str) -> None:
        """Installs exactly what the lock pins, each file checked against its checksum."""
        path = self.locks / lock
        progress = PipProgress(phase, count_packages(path), self.report)
        options = ["install", "--no-deps", "--require-hashes", "-r", str(path)]
        await self._run([*self._pip(), *options, *self._sources()], progress)

    async def install_torch(self, version: str) -> str | None:
        """Installs torch by exact version; answers the SHA-256 of the wheel where pip tells it."""
        answer = self.directory / "torch.json"
        progress = PipProgress("installing torch", 1, self.report)
        await self._run(
            [*self._pip(), "install", f"torch=={version}", "--report", str(answer), *self._sources()], progress
        )
        installed = json.loads(answer.read_text("utf-8"))["install"]
        answer.unlink()
        for item in installed:
            if item["metadata"]["name"].lower() == "torch":
                return _sha256(item["download_info"].get("archive_info", {}))
        return None

    async def download_source(self, lock: str, package: str, to: Path) -> Path:
        """Fetches one source release, checked against the lock, and answers the archive's path."""
        progress = PipProgress("fetching the source", 1, self.report)
        options = ["download", "--no-deps", "--no-build-isolation", "--no-binary", package, "--require-hashes"]
        await self._run(
            [*self._pip(), *options, "-r", str(self.locks / lock), "-d", str(to), *self._sources()], progress
        )
        return next(to.glob("*.tar.gz"))

    async def probe(self, code: str) -> None:
        """Runs the definition's probe: the environment is good for nothing when it fails."""
        self.report(JobProgress(phase="checking the environment", unit="steps"))
        await self._run([str(self.python), "-I", "-c", code])

    def write_repairs(self, definition: Definition) -> None:
        """Writes the definition's files into the site-packages."""
        for repair in definition.repairs:
            path = site_packages(self.directory) / repair.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(repair.text, encoding="utf-8")

    async def run_tool(self, command: list[str], progress: object = None) -> None:
        """Runs a program of this environment with the environment's `bin` first on the path."""
        line = getattr(progress, "line", None)
        env = installer_environment(self.parent)
        env["PATH"] = f"{self.directory / 'bin'}:{env.get('PATH', '/usr/bin:/bin')}"
        await run_command(command, env=env, directory=self.directory, log=self.log, on_line=line)

    async def _run(self, command: list[str], progress: PipProgress | None = None) -> None:
        await self.run_tool(command, progress)

    def _pip(self) -> list[str]:
        return [str(self.python), "-m", "pip", "--no-input"]

    def _sources(self) -> list[str]:
        return ["--no-index", "--find-links", str(self.wheelhouse)] if self.wheelhouse else []


def _sha256(archive: Mapping[str, Any]) -> str | None:
    """The digest in pip's report: `hashes` since pip 23.1, `hash` as `sha256=...` before."""
    old = archive.get("hash", "")
    return archive.get("hashes", {}).get("sha256") or old.removeprefix("sha256=") or None


def machine_problem(definition: Definition, machine: str) -> str | None:
    """Why this definition cannot be built on a machine of architecture `machine`, or None."""
    if sys.platform != "linux":
        return f"{definition.title} is built for Linux"
    if machine not in definition.machines:
        return f"{definition.title} has no packages for {machine}, only for {', '.join(definition.machines)}"
    return None
