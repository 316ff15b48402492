"""Compiles an engine's program from a hashed source release, once per source, options and kind of processor."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from aicp.core.errors import UnavailableError
from aicp.core.job import JobProgress
from aicp.environments.base import NativeBuild, Report
from aicp.environments.build import Installer
from aicp.environments.manifest import processor_features

_STEP = re.compile(r"^\[(\d+)/(\d+)\]")


class CompileProgress:
    """Reads ninja's lines: step n of m."""

    def __init__(self, phase: str, report: Report) -> None:
        self._phase = phase
        self._report = report

    def line(self, text: str) -> None:
        """One line of the build tool's output."""
        step = _STEP.match(text)
        if step:
            done, total = int(step.group(1)), int(step.group(2))
            self._report(JobProgress(phase=self._phase, done=done, total=total, unit="steps"))


def native_digest(build: NativeBuild, locks: Path, features: Sequence[str]) -> str:
    """Names a compiled program: SHA-256 over source, options and the processor's features."""
    digest = hashlib.sha256((locks / build.source_lock).read_bytes())
    digest.update(repr((build.directory, build.program, build.options)).encode())
    digest.update(" ".join(features).encode())
    return digest.hexdigest()


async def provide_program(build: NativeBuild, base: Path, tools: Installer, cache: Path) -> Path:
    """The compiled program: from `cache`, or built now in the throw-away environment `tools` and put there.

    Raises UnavailableError when there is no compiler, and what the installers raise.
    """
    kept = cache / f"{build.program}-{native_digest(build, tools.locks, processor_features())[:20]}"
    if kept.is_file():
        return kept
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        raise UnavailableError(
            f"{build.program} is compiled on this machine, and no C++ compiler was found.",
            hint="Install one (on Debian: apt-get install g++) and try again.",
        )
    await tools.create(base)
    await tools.install_lock(build.tools_lock, "installing the build tools")
    archive = await tools.download_source(build.source_lock, build.package, tools.directory)
    program = await _compile(build, tools, archive)
    cache.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_name(kept.name + ".new")
    shutil.copy2(program, temporary)
    temporary.replace(kept)
    return kept


async def _compile(build: NativeBuild, tools: Installer, archive: Path) -> Path:
    tools.report(JobProgress(phase="unpacking the source", unit="steps"))
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later; the archive is known by its hash in any case
            tar.extractall(tools.directory / "source", filter="data")
        else:
            tar.extractall(tools.directory / "source")
    source = next((tools.directory / "source").iterdir()) / build.directory
    target = tools.directory / "out"
    cores = len(os.sched_getaffinity(0))
    cmake = str(tools.directory / "bin" / "cmake")
    await tools.run_tool([cmake, "-G", "Ninja", "-S", str(source), "-B", str(target), *build.options])
    await tools.run_tool(
        [cmake, "--build", str(target), "--target", build.program, "-j", str(cores)],
        CompileProgress(f"compiling {build.program}", tools.report),
    )
    return target / "bin" / build.program
