"""All engine environments under one root, side by side, shared by every platform that names the same root."""

from __future__ import annotations

import asyncio
import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.job import JobProgress
from aicp.core.node import EnvironmentState, EnvironmentStatus
from aicp.environments import contents
from aicp.environments.base import Definition, EnvironmentKey, Report
from aicp.environments.build import Installer, machine_problem
from aicp.environments.definitions import load_definitions, packages_digest, repairs_digest
from aicp.environments.interpreter import find_python
from aicp.environments.manifest import (
    Manifest,
    file_digest,
    processor_features,
    read_manifest,
    write_manifest,
)
from aicp.environments.native import provide_program

_LOCK_POLL_SECONDS = 0.5
_NAME_DIGITS = 8
_OTHER_REPAIRS = "its repairs are those of another version; they are written anew at the next use"


class Environments:
    """Builds, verifies and removes environments; each is a directory that counts once its manifest is written.

    A directory is named after the engine, its version and variant, and the digest of its locks: platforms of different
    ages can share a root, and none touches what another one's engines run from.

    `root` is made when it is missing. `parent` are the variables of the platform's own process: only what installers
    need is taken from them. `wheelhouse` is a folder of packages that replaces every index, and `offline` asks none
    either. `for_everyone` chooses an interpreter that other users can run (engines as an unprivileged user).
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        parent: Mapping[str, str],
        wheelhouse: Path | None = None,
        offline: bool = False,
        for_everyone: bool = False,
        python: Path | None = None,
        definitions: Mapping[EnvironmentKey, Definition] | None = None,
    ) -> None:
        self._root = root
        self._clock = clock
        self._parent = parent
        self._wheelhouse = wheelhouse
        self._offline = offline
        self._for_everyone = for_everyone
        self._python = python
        self._definitions = dict(load_definitions() if definitions is None else definitions)
        self._progress: dict[EnvironmentKey, JobProgress] = {}

    def keys(self) -> list[EnvironmentKey]:
        """Every environment that can be built, sorted."""
        return sorted(self._definitions)

    def directory(self, key: EnvironmentKey) -> Path:
        """Where this environment lies or would lie."""
        return self._root / self._directory_name(key)

    def interpreter(self, key: EnvironmentKey) -> Path:
        """The Python of a finished environment. Raises NotFoundError when it is not installed."""
        if self.status(key).state is not EnvironmentState.INSTALLED:
            raise NotFoundError(
                f"The engine environment {key.name} is not installed on this node.",
                hint=f"Install it: aicp engine install {key.engine} --version {key.version}",
            )
        return self.directory(key) / "bin" / "python"

    def statuses(self) -> list[EnvironmentStatus]:
        """The status of every environment that can be built, installed or not."""
        return [self.status(key) for key in self.keys()]

    def status(self, key: EnvironmentKey) -> EnvironmentStatus:
        """What is known without reading every file: absent, installing, installed, or broken and why."""
        manifest = read_manifest(self.directory(key))
        if manifest is not None:
            problem = self._outdated(key, manifest)
            return EnvironmentStatus(
                engine=key.engine,
                version=key.version,
                variant=key.variant,
                state=EnvironmentState.BROKEN if problem else EnvironmentState.INSTALLED,
                message=problem or _unproven(manifest),
                size_bytes=manifest.size_bytes,
                lock_digest=manifest.lock_digest,
                built_at=manifest.built_at,
            )
        return self._unfinished(key)

    def _unfinished(self, key: EnvironmentKey) -> EnvironmentStatus:
        status = EnvironmentStatus(
            engine=key.engine, version=key.version, variant=key.variant, state=EnvironmentState.ABSENT
        )
        progress = self._progress.get(key)
        if progress is not None:
            fraction = progress.done / progress.total if progress.total else None
            changed = {"phase": progress.phase, "progress": fraction, "message": progress.message}
            return status.model_copy(update={"state": EnvironmentState.INSTALLING, **changed})
        if self._is_locked(key):
            changed = {"phase": "being installed by another process"}
            return status.model_copy(update={"state": EnvironmentState.INSTALLING, **changed})
        if self.directory(key).exists():
            message = "an installation was cut off; it is removed and built anew at the next use"
            return status.model_copy(update={"state": EnvironmentState.BROKEN, "message": message})
        return status

    async def build(self, key: EnvironmentKey, report: Report | None = None) -> EnvironmentStatus:
        """Makes sure the environment is installed; returns at once when it is.

        Canceling the task stops the installers and removes what is half built. Two builders of one root, in whatever
        processes, take turns. Raises InvalidError for an unknown key or another kind of machine, and what the
        installers raise (checksum_mismatch, no_space, unavailable, install_failed).
        """
        definition = self._definition(key)

        def tell(progress: JobProgress) -> None:
            self._progress[key] = progress
            if report is not None:
                report(progress)

        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o755)
            tell(JobProgress(phase="waiting for another installation", unit="steps"))
            async with self._locked(key):
                if self.status_on_disk(key) is not EnvironmentState.INSTALLED:
                    self._require_source(key)
                    await self._build(definition, tell)
        finally:
            self._progress.pop(key, None)
        return self.status(key)

    def status_on_disk(self, key: EnvironmentKey) -> EnvironmentState:
        """Installed, broken or absent, whoever may be building it."""
        manifest = read_manifest(self.directory(key))
        if manifest is not None and self._outdated(key, manifest) is None:
            return EnvironmentState.INSTALLED
        return EnvironmentState.BROKEN if self.directory(key).exists() else EnvironmentState.ABSENT

    async def verify(self, key: EnvironmentKey) -> list[str]:
        """Reads every file of an installed environment; answers what is missing or changed, empty when all is well."""
        manifest = read_manifest(self.directory(key))
        if manifest is None:
            return ["it is not installed"]
        problem = self._outdated(key, manifest)
        found = await asyncio.to_thread(contents.find_problems, self.directory(key), manifest)
        repairs = self._definitions[key].repairs if key in self._definitions and problem is None else ()
        found += await asyncio.to_thread(contents.find_changed_repairs, self.directory(key), repairs)
        return [problem, *found] if problem else found

    async def remove(self, key: EnvironmentKey) -> None:
        """Deletes an environment; an absent one is success. Raises ConflictError while it is being installed."""
        if key in self._progress or self._is_locked(key):
            raise ConflictError(
                f"The engine environment {key.name} is being installed.", hint="Cancel the installation first."
            )
        await asyncio.to_thread(self._delete, key)

    async def _build(self, definition: Definition, report: Report) -> None:
        key, directory = definition.key, self.directory(definition.key)
        problem = machine_problem(definition, platform.machine())
        if problem:
            raise InvalidError(f"{problem}.", hint="Choose another engine, or another node.")
        present = read_manifest(directory)
        if present is not None and self._outdated(key, present) == _OTHER_REPAIRS:
            return await self._repair(definition, present, report)
        base = self._python or find_python(definition.pythons, for_everyone=self._for_everyone)
        await asyncio.to_thread(self._delete, key)
        installer = self._installer(definition, report)
        installer.log.write_text("", encoding="utf-8")
        try:
            await self._fill(definition, installer, base)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._delete, key))
            raise

    def _installer(self, definition: Definition, report: Report) -> Installer:
        name = self._directory_name(definition.key)
        log = self._root / f"{name}.log"
        return Installer(self._root / name, definition.locks, log, self._parent, self._wheelhouse, report)

    async def _repair(self, definition: Definition, present: Manifest, report: Report) -> None:
        installer = self._installer(definition, report)
        installer.write_repairs(definition)
        await installer.probe(definition.probe)
        write_manifest(installer.directory, present.model_copy(update={"repairs_digest": repairs_digest(definition)}))

    async def _fill(self, definition: Definition, installer: Installer, base: Path) -> None:
        await installer.create(base)
        if definition.lock:
            await installer.install_lock(definition.lock, f"installing {definition.key.engine}")
        # After the lock: its own requirements are then in place with their checksums verified.
        torch_digest = await installer.install_torch(definition.torch.version) if definition.torch else None
        programs = await self._add_program(definition, installer, base)
        installer.write_repairs(definition)
        await installer.probe(definition.probe)
        installer.report(JobProgress(phase="recording what was installed", unit="steps"))
        manifest = await asyncio.to_thread(self._describe, definition, base, torch_digest, programs)
        write_manifest(installer.directory, manifest)

    async def _add_program(self, definition: Definition, installer: Installer, base: Path) -> dict[str, str]:
        if definition.native is None:
            return {}
        workshop = self._root / f".{installer.directory.name}.build"
        await asyncio.to_thread(shutil.rmtree, workshop, True)
        tools = Installer(workshop, definition.locks, installer.log, self._parent, self._wheelhouse, installer.report)
        try:
            kept = await provide_program(definition.native, base, tools, self._root / "programs")
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, workshop, True))
        target = installer.directory / "bin" / definition.native.program
        shutil.copy2(kept, target)
        return {definition.native.program: file_digest(target)}

    def _describe(
        self, definition: Definition, base: Path, torch_digest: str | None, programs: dict[str, str]
    ) -> Manifest:
        directory, torch = self.directory(definition.key), definition.torch
        return Manifest(
            engine=definition.key.engine,
            version=definition.key.version,
            variant=definition.key.variant,
            packages_digest=packages_digest(definition),
            repairs_digest=repairs_digest(definition),
            lock_digest=file_digest(definition.locks / definition.lock) if definition.lock else None,
            torch_version=torch.version if torch else None,
            torch_digest=torch_digest,
            torch_known=torch_digest in torch.digests if torch else None,
            python=str(base),
            python_version=_python_version(directory / "bin" / "python"),
            packages=contents.packages(directory),
            records_digest=contents.records_digest(directory),
            programs=programs,
            processor_features=processor_features() if programs else None,
            size_bytes=contents.tree_size(directory),
            built_at=self._clock.now(),
        )

    def _outdated(self, key: EnvironmentKey, manifest: Manifest) -> str | None:
        """Why a finished environment cannot be used any more, or None."""
        definition = self._definitions.get(key)
        if not (self.directory(key) / "bin" / "python").exists():
            return f"its Python is gone ({manifest.python}); it is built anew at the next use"
        if manifest.processor_features and not set(manifest.processor_features) <= set(processor_features()):
            return "it was compiled for another processor; it is built anew at the next use"
        if definition is not None and repairs_digest(definition) != manifest.repairs_digest:
            return _OTHER_REPAIRS
        return None

    def _require_source(self, key: EnvironmentKey) -> None:
        if self._offline and self._wheelhouse is None:
            raise ConflictError(
                f"The platform is offline, so nothing can be fetched to install {key.name}.",
                hint="Fill a folder with the packages and name it with the setting wheelhouse (AICP_WHEELHOUSE).",
                code="offline",
            )

    def _definition(self, key: EnvironmentKey) -> Definition:
        if key not in self._definitions:
            known = ", ".join(known.name for known in self.keys())
            raise InvalidError(f"No environment {key.name} is known.", hint=f"Known: {known}.")
        return self._definitions[key]

    def _directory_name(self, key: EnvironmentKey) -> str:
        definition = self._definitions.get(key)
        return f"{key.name}-{packages_digest(definition)[:_NAME_DIGITS]}" if definition else key.name

    def _delete(self, key: EnvironmentKey) -> None:
        directory = self.directory(key)
        # The manifest goes first: whatever stops the rest leaves a half-built directory, never a valid one.
        (directory / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)

    def _lock_path(self, key: EnvironmentKey) -> Path:
        return self._root / f".{self._directory_name(key)}.lock"

    def _is_locked(self, key: EnvironmentKey) -> bool:
        try:
            descriptor = os.open(self._lock_path(key), os.O_RDWR)
        except OSError:
            return False
        try:
            return not _try_lock(descriptor)
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def _locked(self, key: EnvironmentKey) -> AsyncIterator[None]:
        descriptor = os.open(self._lock_path(key), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            while True:
                if _try_lock(descriptor):
                    break
                await asyncio.sleep(_LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _python_version(python: Path) -> str:
    command: Sequence[str] = [str(python), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _unproven(manifest: Manifest) -> str | None:
    if manifest.torch_known is False:
        return "Installed with a torch wheel that this engine was never tested with."
    return None
