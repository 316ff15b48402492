"""Models and their versions: see, change, import, remove."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from aicp.artifacts.admission import admit
from aicp.artifacts.blobs import Blobs
from aicp.artifacts.credentials import Credentials
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, ForbiddenError, InvalidError, MalformedError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.ids import is_name, new_id
from aicp.core.job import Job
from aicp.core.model import (
    ImportRequest,
    Model,
    ModelCreate,
    ModelType,
    ModelUpdate,
    ModelVersion,
    UploadSource,
    Visibility,
)
from aicp.core.registry import Registry
from aicp.core.upload import Upload, UploadState
from aicp.core.value import Page
from aicp.hubs.base import Hub, HubContext, HubSettings
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.jobs import Jobs as JobQueries
from aicp.store.models import LATEST
from aicp.store.models import Models as ModelQueries
from aicp.store.projects import Projects
from aicp.store.uploads import Uploads as UploadQueries

_SECRETS = ("access_key", "secret_key", "token")


class VersionUses(Protocol):
    """Tells which services use model versions; the composition root brings the one of the services."""

    async def __call__(self, tx: Transaction, version_ids: Collection[str]) -> Mapping[str, list[str]]:
        """Version id -> names of services that serve it or may go back to it; unused ones may be left out."""
        ...


async def no_uses(tx: Transaction, version_ids: Collection[str]) -> Mapping[str, list[str]]:
    """A VersionUses for a platform without services."""
    return {}


class Models:
    """Use cases over models."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bell: Bell,
        *,
        blobs: Blobs,
        credentials: Credentials,
        hubs: Registry[Hub],
        settings: HubSettings,
        uses: VersionUses = no_uses,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._blobs = blobs
        self._credentials = credentials
        self._hubs = hubs
        self._settings = settings
        self._uses = uses

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        type: ModelType | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Model]:
        """Public models and those of the caller's projects; without the long configuration of each version."""
        projects = caller.visible_projects(Permission.MODEL_READ)
        async with self._database.snapshot() as tx:
            page = await ModelQueries(tx).list(
                projects=projects, project=project, type=type, search=search, sort=sort, offset=offset, limit=limit
            )
            items = [await self._with_uses(tx, _brief(model)) for model in page.items]
        return page.model_copy(update={"items": items})

    async def get(self, caller: Caller, name: str) -> Model:
        """One model with its latest version."""
        async with self._database.snapshot() as tx:
            return await self._with_uses(tx, await _visible(caller, tx, name))

    async def create(self, caller: Caller, body: ModelCreate) -> Model:
        """A new, empty model."""
        caller.require(Permission.MODEL_WRITE, body.project, what=f"Project {body.project!r}")
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await _check_project(tx, body.project)
            model = await ModelQueries(tx).create(body, now)
            await Events(tx).audit(caller, now, "model.create", "model", model.name, project=model.project)
        self._bell.ring("model", model.name)
        return model

    async def update(self, caller: Caller, name: str, changes: ModelUpdate) -> Model:
        """Changes description, type or visibility."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            before = await _writable(caller, tx, name)
            changed = await ModelQueries(tx).update(name, changes, now)
            details = difference(_changeable(before), _changeable(changed))
            model = await self._with_uses(tx, changed)
            await Events(tx).audit(caller, now, "model.update", "model", name, project=model.project, details=details)
        self._bell.ring("model", name)
        return model

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes a model with all versions. Raises ConflictError while a service uses one of them."""
        now = self._clock.now()
        removed: list[ModelVersion] = []
        async with self._database.transaction() as tx:
            model = await _writable(caller, tx, name)
            queries = ModelQueries(tx)
            versions = (await queries.versions(name, limit=100_000)).items
            await self._refuse_used(tx, versions)
            for version in versions:
                removed.append(await queries.delete_version(name, version.version, now))
            await queries.delete(name)
            await Events(tx).audit(caller, now, "model.delete", "model", name, project=model.project)
        await self._collect(removed)
        self._bell.ring("model", name)

    async def versions(self, caller: Caller, name: str, *, offset: int = 0, limit: int = 100) -> Page[ModelVersion]:
        """All versions, newest first."""
        async with self._database.snapshot() as tx:
            await _visible(caller, tx, name)
            return await ModelQueries(tx).versions(name, offset=offset, limit=limit)

    async def version(self, caller: Caller, name: str, version: str) -> ModelVersion:
        """One version by its name or an alias."""
        async with self._database.snapshot() as tx:
            await _visible(caller, tx, name)
            return await ModelQueries(tx).version(name, version)

    async def delete_version(self, caller: Caller, name: str, version: str) -> None:
        """Removes a version and its files, unless others hold them. Raises ConflictError while a service uses it."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            model = await _writable(caller, tx, name)
            found = await ModelQueries(tx).version(name, version)
            await self._refuse_used(tx, [found])
            await ModelQueries(tx).delete_version(name, found.version, now)
            await Events(tx).audit(
                caller, now, "model.version_delete", "model", name, project=model.project,
                details={"version": found.version, "digest": found.digest},
            )  # fmt: skip
        await self._collect([found])
        self._bell.ring("model", name)

    async def set_alias(self, caller: Caller, name: str, alias: str, version: str) -> Model:
        """Points `alias` at a version (named directly or by another alias)."""
        if alias == LATEST:
            raise InvalidError("`latest` always follows the newest version.", hint="Choose another alias.")
        if not is_name(alias):
            raise InvalidError(
                f"{alias!r} cannot be an alias.", hint="Use lower case letters, digits, '.', '_', '-'; at most 63."
            )
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await _writable(caller, tx, name)
            target = await ModelQueries(tx).version(name, version)
            if await _names_version(tx, name, alias):
                raise ConflictError(f"{name} has a version called {alias!r}.", hint="Choose another alias.")
            model = await ModelQueries(tx).set_alias(name, alias, target.version, now)
            await Events(tx).audit(
                caller, now, "model.alias_set", "model", name, project=model.project,
                details={"alias": alias, "version": target.version},
            )  # fmt: skip
        self._bell.ring("model", name)
        return model

    async def remove_alias(self, caller: Caller, name: str, alias: str) -> None:
        """Removes an alias. Raises NotFoundError when there is none."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            model = await _writable(caller, tx, name)
            if alias == LATEST or alias not in model.aliases:
                raise NotFoundError(f"{name} has no removable alias {alias!r}.")
            await ModelQueries(tx).set_alias(name, alias, None, now)
            await Events(tx).audit(
                caller, now, "model.alias_remove", "model", name, project=model.project, details={"alias": alias}
            )
        self._bell.ring("model", name)

    async def import_version(self, caller: Caller, name: str, request: ImportRequest) -> Job:
        """Queues an import. What can be seen wrong without the network is refused at once."""
        if not is_name(name):
            raise InvalidError(
                f"{name!r} cannot name a model.", hint="Use lower case letters, digits, '.', '_', '-'; at most 63."
            )
        if request.version == LATEST:
            raise InvalidError("`latest` is the alias of the newest version and names none.")
        project = await self._check_target(caller, name, request)
        upload = None
        if isinstance(request.source, UploadSource):
            upload = await self._own_upload(caller, request.source.upload_id)
        # What is wrong with the files is told the same way whether their check has come to it yet or not.
        await asyncio.to_thread(self._preview, request)
        if upload is not None and upload.state is UploadState.REFUSED:
            raise ConflictError(
                f"The upload was refused: {upload.error}", hint="Delete it and send the files again.",
                code="upload_refused",
            )  # fmt: skip
        now, job_id = self._clock.now(), new_id("job")
        fields = request.model_copy(update={"project": project}).model_dump(mode="json", exclude_none=True)
        secrets = _take_secrets(fields["source"])
        if secrets:
            self._credentials.put(job_id, secrets)
        async with self._database.transaction() as tx:
            job = await JobQueries(tx).create(
                "model_import", f"Import {name}", at=now, project=project, job_id=job_id,
                parameters={"model": name, "request": fields}, created_by=caller.user,
            )  # fmt: skip
            await Events(tx).audit(
                caller, now, "model.import", "model", name, project=project, details={"source": fields["source"]}
            )
        self._bell.ring("job", job.id)
        return job

    async def _check_target(self, caller: Caller, name: str, request: ImportRequest) -> str:
        """The project that will own the version; an existing model keeps its own."""
        async with self._database.snapshot() as tx:
            model = await ModelQueries(tx).find(name)
            if model is None:
                caller.require(Permission.MODEL_WRITE, request.project, what=f"Project {request.project!r}")
                await _check_project(tx, request.project)
                return request.project
            await _writable(caller, tx, name)
            taken = request.version is not None and await _names_version(tx, name, request.version)
            if taken or request.version in model.aliases:
                raise ConflictError(
                    f"{name} already has a version or alias {request.version!r}; versions never change.",
                    hint="Choose another version name.",
                )
            return model.project

    async def _own_upload(self, caller: Caller, upload_id: str) -> Upload:
        """An upload that is still there. Only who made it may import it."""
        async with self._database.snapshot() as tx:
            upload = await UploadQueries(tx).get(upload_id)
        if upload.created_by != caller.user or upload.expires_at < self._clock.now():
            raise NotFoundError(f"There is no upload {upload_id!r}.", hint="It may have expired.")
        if upload.state is UploadState.IMPORTED:
            raise ConflictError(
                f"Upload {upload_id!r} has been imported already.", hint="Send the files again.",
                code="upload_imported",
            )  # fmt: skip
        return upload

    def _preview(self, request: ImportRequest) -> None:
        hub = self._hubs.get(request.source.kind)
        if hub.local:
            context = HubContext(Path("/nonexistent"), _Silent(), self._settings)
            listing = hub.resolve(request.source, context)
            admit([file.path for file in listing.files], strict=listing.strict and not request.skip_unsafe)

    async def _with_uses(self, tx: Transaction, model: Model) -> Model:
        if model.versions == 0:
            return model
        versions = await ModelQueries(tx).version_ids(model.name)
        uses = await self._uses(tx, versions)
        return model.model_copy(update={"used_by": sorted({name for names in uses.values() for name in names})})

    async def _refuse_used(self, tx: Transaction, versions: Collection[ModelVersion]) -> None:
        uses = await self._uses(tx, [version.id for version in versions])
        names = sorted({name for found in uses.values() for name in found})
        if names:
            raise ConflictError(
                f"These services use it: {', '.join(names)}.",
                hint="Delete them or move them to another version first.",
                code="in_use",
                details={"services": names},
            )

    async def _collect(self, versions: Collection[ModelVersion]) -> None:
        """Frees the files of removed versions that nothing else refers to."""
        digests = {file.sha256 for version in versions for file in version.files}
        async with self._blobs.collection() as remove:
            async with self._database.snapshot() as tx:
                referenced = await ModelQueries(tx).referenced()
            await asyncio.to_thread(remove, digests, referenced)


def _take_secrets(source: dict[str, Any]) -> dict[str, str]:
    """Takes what must not be stored out of a source. Raises MalformedError for a password in an address."""
    for field in ("url", "endpoint"):
        if "@" in urlsplit(source.get(field) or "").netloc:
            raise MalformedError(
                f"The {field} holds a user name or password.",
                hint="Use a signed address, a token, or keys of their own.",
                code="url_not_allowed",
                details={"fields": {f"source.{field}": "holds credentials"}},
            )
    secrets = {key: source.pop(key) for key in _SECRETS if key in source}
    url, query, _ = (source.get("url") or "").partition("?")
    if query:  # the query of a signed address is a credential
        secrets["url"], source["url"] = source["url"], url
    return secrets


class _Silent:
    """Progress of what takes no time."""

    def advance(self, count: int, /) -> None:
        """Nothing to tell."""

    def say(self, message: str, /) -> None:
        """Nothing to tell."""


async def _check_project(tx: Transaction, name: str) -> None:
    if await Projects(tx).find(name) is None:
        raise NotFoundError(f"There is no project {name!r}.", hint="`aicp project list` shows the projects.")


async def _visible(caller: Caller, tx: Transaction, name: str) -> Model:
    model = await ModelQueries(tx).find(name)
    projects = caller.visible_projects(Permission.MODEL_READ)
    if model is None or not (model.visibility is Visibility.PUBLIC or projects is None or model.project in projects):
        raise NotFoundError(f"There is no model {name!r}.", hint="`aicp model list` shows the models.")
    return model


async def _writable(caller: Caller, tx: Transaction, name: str) -> Model:
    model = await _visible(caller, tx, name)
    if not caller.may(Permission.MODEL_WRITE, model.project):  # it is seen, so that it exists is no secret
        raise ForbiddenError(
            f"The model {name!r} belongs to project {model.project!r}, where you may not change models.",
            hint="Ask a project admin for the role developer.",
        )
    return model


async def _names_version(tx: Transaction, name: str, version: str) -> bool:
    return version in await ModelQueries(tx).version_names(name)


def _brief(model: Model) -> Model:
    if model.latest is None:
        return model
    architecture = model.latest.architecture.model_copy(update={"config": {}})
    latest = model.latest.model_copy(update={"architecture": architecture, "files": []})
    return model.model_copy(update={"latest": latest})


def _changeable(model: Model) -> dict[str, Any]:
    return model.model_dump(mode="json", include=set(ModelUpdate.model_fields))
