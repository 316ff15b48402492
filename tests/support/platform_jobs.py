"""A job runner with its workers beside an application under test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx

from aicp.artifacts.blobs import Blobs
from aicp.artifacts.credentials import Credentials
from aicp.core.bell import Bell
from aicp.core.clock import Clock, SystemClock
from aicp.core.job import FINISHED_JOB_STATES, Job
from aicp.core.registry import Registry
from aicp.hubs.base import Hub, HubSettings
from aicp.reconcile.imports import ModelImport
from aicp.reconcile.jobs import JobRunner, JobWorker
from aicp.security.keyring import Keyring
from aicp.store.database import Database


class Importing:
    """Everything that imports need, below one folder."""

    def __init__(self, root: Path, database: Database, bell: Bell, clock: Clock | None = None, **rules: object) -> None:
        self.database, self.bell, self.clock = database, bell, clock or SystemClock()
        self.blobs = Blobs(root)
        self.credentials = Credentials(root / "credentials", Keyring(bytes(32)))
        self.hubs: Registry[Hub] = Registry("aicp.hubs")
        rules.setdefault("retry_seconds", 0.01)
        self.settings = HubSettings(root / "uploads", **rules)  # pyright: ignore

    def parts(self) -> dict[str, object]:
        """Arguments that use cases of models share."""
        return {
            "blobs": self.blobs,
            "credentials": self.credentials,
            "hubs": self.hubs,
            "settings": self.settings,
        }

    def worker(self) -> ModelImport:
        """The worker of imports."""
        return ModelImport(self.database, self.clock, self.bell, self.blobs, self.credentials, self.hubs, self.settings)

    def runner(self, *more: JobWorker, name: str = "test") -> JobRunner:
        """A runner with the worker of imports and `more`."""
        worker = self.worker()
        return JobRunner(self.database, self.clock, self.bell, [worker, *more], name=name, after=[worker.ended])

    @asynccontextmanager
    async def running(self, *more: JobWorker, name: str = "test") -> AsyncIterator[JobRunner]:
        """The runner at work."""
        runner = self.runner(*more, name=name)
        async with working(runner):
            yield runner


@asynccontextmanager
async def working(runner: JobRunner) -> AsyncIterator[None]:
    """Runs `runner` for as long as the context lives."""
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def wait_for_job(client: httpx.AsyncClient, job_id: str, *, seconds: float = 30) -> Job:
    """The job once it has ended."""
    async with asyncio.timeout(seconds):
        while True:
            job = Job.model_validate((await client.get(f"/api/v1/jobs/{job_id}")).json())
            if job.state in FINISHED_JOB_STATES:
                return job
            await asyncio.sleep(0.02)
