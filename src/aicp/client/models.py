"""Models and jobs."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from pathlib import Path

from aicp.client.transport import Transport
from aicp.core.catalog import CatalogModel
from aicp.core.errors import InvalidError
from aicp.core.job import FINISHED_JOB_STATES, Job
from aicp.core.model import (
    DirectorySource,
    ImportRequest,
    Model,
    ModelCreate,
    ModelType,
    ModelUpdate,
    ModelVersion,
)
from aicp.core.value import Page


class Models:
    """Models and their versions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, project: str | None = None, type: ModelType | None = None, search: str | None = None
    ) -> builtins.list[Model]:
        """Models the caller may see."""
        return self._transport.every("/api/v1/models", Model, {"project": project, "type": type, "search": search})

    def get(self, name: str) -> Model:
        """One model with its aliases and latest version."""
        return self._transport.get(f"/api/v1/models/{name}", Model)

    def create(self, body: ModelCreate) -> Model:
        """A new, empty model."""
        return self._transport.post("/api/v1/models", Model, body)

    def update(self, name: str, changes: ModelUpdate) -> Model:
        """Changes description, type or visibility."""
        return self._transport.patch(f"/api/v1/models/{name}", Model, changes)

    def delete(self, name: str) -> None:
        """Removes a model that no service uses, with all versions."""
        self._transport.delete(f"/api/v1/models/{name}")

    def import_version(self, name: str, body: ImportRequest) -> Job:
        """Starts an import; the job's result names the new version."""
        return self._transport.post(f"/api/v1/models/{name}/import", Job, body)

    def import_directory(self, name: str, path: str | Path) -> Job:
        """Imports a folder of the platform's machine."""
        return self.import_version(name, ImportRequest(source=DirectorySource(path=str(Path(path).absolute()))))

    def versions(self, name: str) -> builtins.list[ModelVersion]:
        """All versions, newest first."""
        return self._transport.every(f"/api/v1/models/{name}/versions", ModelVersion)

    def version(self, name: str, version: str) -> ModelVersion:
        """One version by its name or an alias."""
        return self._transport.get(f"/api/v1/models/{name}/versions/{version}", ModelVersion)

    def delete_version(self, name: str, version: str) -> None:
        """Removes a version that no service uses."""
        self._transport.delete(f"/api/v1/models/{name}/versions/{version}")

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Points `alias` at `version`."""
        self._transport.send("PUT", f"/api/v1/models/{name}/aliases/{alias}", body={"version": version})

    def remove_alias(self, name: str, alias: str) -> None:
        """Removes an alias."""
        self._transport.delete(f"/api/v1/models/{name}/aliases/{alias}")

    def catalog(
        self, *, search: str | None = None, type: ModelType | None = None, pool: str = "default"
    ) -> builtins.list[CatalogModel]:
        """Well-known models with their sizes and recommended modes, and whether `pool` could serve them."""
        return self._transport.every("/api/v1/catalog", CatalogModel, {"search": search, "type": type, "pool": pool})


class Jobs:
    """Finite work: imports, upload checks, engine installs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        project: str | None = None,
        state: str | None = None,
        kind: str | None = None,
        search: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> builtins.list[Job]:
        """Jobs the caller may see, newest first: `limit` (at most 500) of them after the first `offset`."""
        chosen = {"project": project, "state": state, "kind": kind, "search": search}
        return self._transport.get("/api/v1/jobs", Page[Job], {**chosen, "limit": limit, "offset": offset}).items

    def get(self, job_id: str) -> Job:
        """One job."""
        return self._transport.get(f"/api/v1/jobs/{job_id}", Job)

    def cancel(self, job_id: str) -> Job:
        """Asks a job to stop."""
        return self._transport.post(f"/api/v1/jobs/{job_id}/cancel", Job)

    def follow(self, job_id: str) -> Iterator[Job]:
        """The job as it changes, until it has ended."""
        job = self.get(job_id)
        yield job
        if job.state in FINISHED_JOB_STATES:
            return
        for data in self._transport.events(f"/api/v1/jobs/{job_id}/events"):
            job = Job.model_validate(data)
            yield job
            if job.state in FINISHED_JOB_STATES:
                return

    def wait(self, job_id: str, progress: Callable[[Job], None] | None = None) -> Job:
        """Waits for the end. Raises InvalidError with the job's own words when it did not succeed."""
        job = self.get(job_id)
        for job in self.follow(job_id):
            if progress:
                progress(job)
        if job.state != "succeeded":
            error = job.error or {}
            reason = error.get("message") or f"The job was {job.state}."
            raise InvalidError(reason, hint=error.get("hint"), code=error.get("code") or f"job_{job.state}")
        return job
