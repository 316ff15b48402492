"""The engine environments of this node: built once however many ask, watched while they are, removed when unused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aicp.agent.model_copies import Progress
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.job import JobProgress
from aicp.core.node import EnvironmentState, EnvironmentStatus
from aicp.environments.base import EnvironmentKey, Report

log = logging.getLogger(__name__)

_BEAT_SECONDS = 0.2


class EnvironmentStore(Protocol):
    """What this needs of the environments on disk; `aicp.environments.environments.Environments` is one."""

    def directory(self, key: EnvironmentKey) -> Path:
        """Where an environment lies or would lie."""
        ...

    def interpreter(self, key: EnvironmentKey) -> Path:
        """The Python of a finished environment."""
        ...

    def status(self, key: EnvironmentKey) -> EnvironmentStatus:
        """One environment as it is on disk."""
        ...

    def statuses(self) -> list[EnvironmentStatus]:
        """All that can be built."""
        ...

    async def build(self, key: EnvironmentKey, report: Report | None = None) -> EnvironmentStatus:
        """Builds one; canceling removes what is half built. Raises AicpError."""
        ...

    async def remove(self, key: EnvironmentKey) -> None:
        """Deletes one; absent is success."""
        ...


class EngineEnvironments:
    """At most one build at a time on a node; the others wait for their turn."""

    def __init__(self, store: EnvironmentStore) -> None:
        self._store = store
        self._builds: dict[EnvironmentKey, asyncio.Task[None]] = {}
        self._progress: dict[EnvironmentKey, JobProgress] = {}
        self._failures: dict[EnvironmentKey, AicpError] = {}
        self._turn = asyncio.Lock()

    def statuses(self) -> list[EnvironmentStatus]:
        """Every environment, also one that is being built now or whose last build failed."""
        known = {EnvironmentKey(one.engine, one.version, one.variant): one for one in self._store.statuses()}
        for key, error in self._failures.items():
            known[key] = _status(key, EnvironmentState.BROKEN, message=error.message)
        for key in self._builds:
            done = self._progress.get(key, JobProgress())
            share = done.done / done.total if done.total else None
            known[key] = _status(key, EnvironmentState.INSTALLING, phase=self._phase(key), progress=share)
        return sorted(known.values(), key=lambda one: (one.engine, one.version, one.variant))

    def install(self, engine: str, version: str, variant: str) -> EnvironmentStatus:
        """Starts to build one, unless it is there or being built; returns at once."""
        key = EnvironmentKey(engine, version, variant)
        if not self._installed(key):
            self._build(key)
        return next(one for one in self.statuses() if _key_of(one) == key)

    async def ensure(self, engine: str, version: str, variant: str, progress: Progress) -> Path:
        """The interpreter of an environment, built first when absent. Raises AicpError when it cannot be built.

        A caller that goes away does not stop a build that others may wait for.
        """
        key = EnvironmentKey(engine, version, variant)
        if not self._installed(key):
            build = self._build(key)
            while not build.done():
                done = self._progress.get(key, JobProgress())
                progress(done.done / done.total if done.total else 0.0)
                await asyncio.wait({build}, timeout=_BEAT_SECONDS)
            if key in self._failures:
                raise self._failures[key]
            if not self._installed(key):
                raise UnavailableError(f"The installation of {key.name} was canceled.")
        return self._store.interpreter(key)

    async def remove(self, engine: str, version: str, variant: str) -> None:
        """Removes an environment, or cancels its build. Absent is success."""
        key = EnvironmentKey(engine, version, variant)
        build = self._builds.get(key)
        if build is not None:
            build.cancel()
            await asyncio.wait({build})
        self._failures.pop(key, None)
        await self._store.remove(key)

    async def close(self) -> None:
        """Cancels every build."""
        builds = list(self._builds.values())
        for build in builds:
            build.cancel()
        await asyncio.gather(*builds, return_exceptions=True)

    def directory(self, engine: str, version: str, variant: str) -> Path:
        """Where an environment is, or will be."""
        return self._store.directory(EnvironmentKey(engine, version, variant))

    def phase(self, engine: str, version: str, variant: str) -> str | None:
        """What its build does now: `installing engine vllm 0.32.0 (installing packages, 12 of 140 packages, numpy)`."""
        key = EnvironmentKey(engine, version, variant)
        return self._phase(key) if key in self._builds else None

    def _phase(self, key: EnvironmentKey) -> str:
        done = self._progress.get(key)
        if done is None:
            return f"waiting to install engine {key.engine} {key.version}"
        counted = f"{done.done:.0f} of {done.total:.0f} {done.unit}" if done.total and done.unit != "bytes" else ""
        detail = ", ".join(filter(None, (done.phase, counted, done.message)))
        return f"installing engine {key.engine} {key.version}" + (f" ({detail})" if detail else "")

    def _installed(self, key: EnvironmentKey) -> bool:
        return self._store.status(key).state is EnvironmentState.INSTALLED

    def _build(self, key: EnvironmentKey) -> asyncio.Task[None]:
        if key not in self._builds:
            self._failures.pop(key, None)
            task = asyncio.create_task(self._run(key))
            self._builds[key] = task
            task.add_done_callback(self._forget(key))
        return self._builds[key]

    def _forget(self, key: EnvironmentKey) -> Callable[[asyncio.Task[None]], None]:
        def forget(_: asyncio.Task[None]) -> None:
            self._builds.pop(key, None)
            self._progress.pop(key, None)

        return forget

    async def _run(self, key: EnvironmentKey) -> None:
        try:
            async with self._turn:
                await self._store.build(key, lambda progress: self._progress.__setitem__(key, progress))
        except AicpError as error:
            self._failures[key] = error
        except Exception as error:
            log.exception("building %s", key.name)
            self._failures[key] = UnavailableError(f"{key.name} could not be installed: {error}.")


def _key_of(status: EnvironmentStatus) -> EnvironmentKey:
    return EnvironmentKey(status.engine, status.version, status.variant)


def _status(
    key: EnvironmentKey,
    state: EnvironmentState,
    *,
    phase: str | None = None,
    progress: float | None = None,
    message: str | None = None,
) -> EnvironmentStatus:
    return EnvironmentStatus(
        engine=key.engine,
        version=key.version,
        variant=key.variant,
        state=state,
        phase=phase,
        progress=progress,
        message=message,
    )
