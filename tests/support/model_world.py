"""A platform that imports models, over an in-process transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.support.api import Api, serve_api
from tests.support.platform_jobs import Importing, wait_for_job

from aicp.artifacts.uploads import UploadFiles
from aicp.control.catalog import Catalog
from aicp.control.jobs import Jobs
from aicp.control.models import Models
from aicp.control.uploads import Uploads
from aicp.core.identity import Role
from aicp.core.job import Job
from aicp.core.model import Model
from aicp.core.registry import Registry
from aicp.engines.base import Engine
from aicp.reconcile.uploads import UploadCheck
from aicp.store.organizations import Organizations
from aicp.store.pools import Pools
from aicp.store.projects import Projects


@dataclass
class ModelWorld:
    """A platform that imports; `client` is a developer of project `default`."""

    api: Api
    importing: Importing
    client: httpx.AsyncClient
    uploads: UploadFiles

    async def start_import(self, name: str, source: dict[str, Any], **fields: Any) -> httpx.Response:
        """Asks for an import."""
        return await self.client.post(f"/api/v1/models/{name}/import", json={"source": source, **fields})

    async def import_model(self, name: str, source: dict[str, Any], **fields: Any) -> Job:
        """Imports; the job once it has ended."""
        answer = await self.start_import(name, source, **fields)
        assert answer.status_code == 202, answer.text
        return await self.wait(answer.json()["id"])

    async def wait(self, job_id: str) -> Job:
        """The job once it has ended."""
        return await wait_for_job(self.client, job_id)

    async def model(self, name: str) -> Model:
        """A model."""
        answer = await self.client.get(f"/api/v1/models/{name}")
        assert answer.status_code == 200, answer.text
        return Model.model_validate(answer.json())

    def files(self) -> list[str]:
        """Everything that lies in the store of artifacts, relative to it; empty marks of who brought what aside."""
        root = self.importing.blobs.root
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return sorted(path for path in found if not path.startswith("arrivals/"))


def directory(path: Path) -> dict[str, str]:
    """A folder as a source."""
    return {"kind": "directory", "path": str(path)}


@asynccontextmanager
async def model_world(root: Path, *, work: bool = True, **rules: Any) -> AsyncIterator[ModelWorld]:
    """The platform; `work` False leaves jobs queued, `rules` are fields of HubSettings."""
    made: list[Importing] = []
    files = UploadFiles(root / "uploads")

    def cases(parts: Any) -> dict[type, object]:
        importing = Importing(root, parts.database, parts.bell, **rules)
        made.append(importing)
        common = (parts.database, parts.clock, parts.bell)
        return {
            Models: Models(*common, **importing.parts()),  # pyright: ignore
            Jobs: Jobs(*common),
            Uploads: Uploads(*common, files=files, blobs=importing.blobs),
            Catalog: Catalog(parts.database, Registry[Engine]("aicp.engines")),
        }

    async with serve_api(cases) as api:
        importing = made[0]
        now = api.parts.clock.now()
        async with api.parts.database.transaction() as tx:
            await Organizations(tx).create("default", now)
            await Pools(tx).ensure_default(now)
            for name in ("default", "other"):
                await Projects(tx).create(name, "default", "", now)
        world = ModelWorld(api, importing, api.client(Role.DEVELOPER), files)
        if not work:
            yield world
            return
        async with importing.running(UploadCheck(api.parts.database, files)):
            yield world
