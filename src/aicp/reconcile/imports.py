"""Model imports: brings the files of a source into the store of blobs, checks them, and writes one new version."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicp.artifacts.admission import Admission, admit, without_remote_code
from aicp.artifacts.blobs import Blobs
from aicp.artifacts.credentials import Credentials
from aicp.artifacts.digest import version_digest
from aicp.artifacts.formats.inspect import Facts, FileSet, check_weights, inspect_files
from aicp.artifacts.partial import explained_space
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError
from aicp.core.ids import new_id
from aicp.core.job import Job, JobState
from aicp.core.model import ImportRequest, ModelCreate, ModelFile, ModelVersion, UploadSource
from aicp.core.registry import Registry
from aicp.hubs.base import Hub, HubContext, HubFile, HubSettings, Listing
from aicp.reconcile.jobs import JobContext
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.models import Models
from aicp.store.uploads import Uploads

_WEIGHTS = (".safetensors", ".gguf")
_CONFIG_BYTES = 16 * 2**20
_NO_CONFIG = ("tokenizer.json", "vocab.json", ".index.json")
_CARDS = ("README.md", "readme.md", "Readme.md")
_HEAD = re.compile(rb"---\s*\n(.*?)\n---", re.DOTALL)
_LICENSE = re.compile(rb"^license:[ \t]*[\"']?([\w.+-]{1,80})", re.MULTILINE)
_BASE_MODEL = re.compile(rb"^base_model:[ \t]*(?:\n[ \t]*-[ \t]*)?[\"']?([\w./-]{1,200})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Everything that a version needs, on the disk and checked."""

    listing: Listing
    files: list[ModelFile]
    admission: Admission
    facts: Facts
    notes: list[str]
    license: str | None
    lineage: dict[str, Any]


class ModelImport:
    """Worker of kind `model_import`; parameters are `model` and `request` (an ImportRequest without credentials)."""

    kind = "model_import"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bell: Bell,
        blobs: Blobs,
        credentials: Credentials,
        hubs: Registry[Hub],
        settings: HubSettings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._blobs = blobs
        self._credentials = credentials
        self._hubs = hubs
        self._settings = settings

    async def run(self, job: Job, context: JobContext) -> Mapping[str, Any]:
        """Imports; the result is {model, version, digest, existing}."""
        request = self._request(job)
        work_dir = self._blobs.root / "work" / job.id
        async with self._database.snapshot() as tx:
            shared = await Models(tx).referenced(visible_to=request.project)
        with self._blobs.pinned() as pin, explained_space():
            arrival = _Arrival(self._blobs, pin, request.project, shared)
            arrived = await asyncio.to_thread(self._bring, request, work_dir, context, arrival)
            context.phase("saving")
            context.check()
            result = await self._save(job, request, arrived)
        await asyncio.to_thread(shutil.rmtree, work_dir, ignore_errors=True)
        self._bell.ring("model", result["model"])
        return result

    def ended(self, job: Job) -> None:
        """Clears what a finished job leaves; the job runner calls it for every job that ended."""
        self._credentials.remove(job.id)
        if job.kind == self.kind and job.state is JobState.SUCCEEDED:
            upload_id = job.parameters["request"]["source"].get("upload_id")
            if upload_id:
                shutil.rmtree(self._settings.uploads_dir / upload_id, ignore_errors=True)
        shutil.rmtree(self._blobs.root / "work" / job.id, ignore_errors=True)

    def _request(self, job: Job) -> ImportRequest:
        fields = dict(job.parameters["request"])
        fields["source"] = {**fields["source"], **self._credentials.get(job.id)}
        return ImportRequest.model_validate(fields)

    def _origin(self, job: Job) -> dict[str, Any]:
        """What else it takes to name the source again; of credentials only which there were."""
        request, credentials = job.parameters["request"], sorted(self._credentials.get(job.id))
        told = {name: request["source"].get(name) for name in ("endpoint", "region", "include", "sha256")}
        told |= {"skip_unsafe": request.get("skip_unsafe"), "credentials": credentials}
        return {name: value for name, value in told.items() if value}

    def _bring(self, request: ImportRequest, work_dir: Path, context: JobContext, arrival: _Arrival) -> Arrived:
        hub = self._hubs.get(request.source.kind)
        work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # of one project alone: what another one fetched with its credentials is not continued for this one
        keep = self._blobs.unfinished.folder
        hub_context = HubContext(work_dir, context, self._settings, lambda key: keep(f"{request.project}\0{key}"))
        context.phase("reading the source")
        listing = hub.resolve(request.source, hub_context)
        strict = listing.strict and not request.skip_unsafe
        admission = admit([file.path for file in listing.files], strict=strict)
        by_path = {file.path: file for file in listing.files}
        chosen = sorted((by_path[path] for path in admission.kept), key=lambda file: file.path.endswith(_WEIGHTS))
        arrival.strict = strict
        context.phase("copying", total=sum(file.size_bytes for file in chosen))
        self._blobs.check_space(sum(file.size_bytes for file in chosen if not arrival.has(file)))
        for file in chosen:
            context.say(file.path)
            arrival.bring(
                file, listing, context, lambda sink, file=file: hub.fetch(request.source, file, sink, hub_context)
            )
        context.phase("checking", total=len(chosen), unit="files")
        facts = inspect_files(arrival.file_set(), admission.format, hint=listing.name)
        notes = [*listing.notes, *admission.notes, *arrival.notes]
        card = _card_head(arrival.file_set())
        license = request.license or listing.license or _stated(_LICENSE, card)
        lineage = {"base_model": _stated(_BASE_MODEL, card), "revision": listing.revision}
        known = {name: value for name, value in lineage.items() if value}
        return Arrived(listing, arrival.files, admission, facts, notes, license, known)

    async def _save(self, job: Job, request: ImportRequest, arrived: Arrived) -> dict[str, Any]:
        name, now, digest = job.parameters["model"], self._clock.now(), version_digest(arrived.files)
        async with self._database.transaction() as tx:
            models = Models(tx)
            if isinstance(request.source, UploadSource):
                await Uploads(tx).imported(request.source.upload_id)
            same = await models.version_with_digest(name, digest)
            if same is not None and request.version in (None, same.version):
                return {"model": name, "version": same.version, "digest": digest, "existing": True}
            model = await models.find(name)
            if model is None:
                await models.create(_new_model(name, request), now)
            elif model.project != request.project:  # made by another project while this import ran
                raise ConflictError(
                    f"The model {name!r} belongs to another project by now.", hint="Import under another name."
                )
            version = ModelVersion(
                id=new_id("ver"),
                model=name,
                version=request.version or await models.next_version(name),
                digest=digest,
                format=arrived.admission.format,
                files=arrived.files,
                size_bytes=sum(file.size_bytes for file in arrived.files),
                weight_bytes=arrived.facts.weight_bytes,
                architecture=arrived.facts.architecture,
                parameters=arrived.facts.parameters,
                dtype=arrived.facts.dtype,
                quantization=arrived.facts.quantization,
                context_length=arrived.facts.context_length,
                license=arrived.license,
                source=arrived.listing.identity,
                lineage={"job": job.id, **self._origin(job), **arrived.lineage},
                notes=arrived.notes,
                created_at=now,
                created_by=job.created_by,
            )
            await models.add_version(version, arrived.facts.type)
            await Events(tx).note(
                now, "model.imported", "model", name, f"Version {version.version} from {version.source}.",
                project=job.project, details={"version": version.version, "digest": digest},
            )  # fmt: skip
        return {"model": name, "version": version.version, "digest": digest, "existing": False}


class _Arrival:
    """Files of one import as they come in."""

    def __init__(self, blobs: Blobs, pin: Callable[[str], bool], project: str, shared: Collection[str]) -> None:
        """`shared`: digests of files that `project` sees anyway."""
        self._blobs = blobs
        self._pin = pin
        self._project = project
        self._shared = shared
        self.strict = False
        self.files: list[ModelFile] = []
        self.notes: list[str] = []

    def has(self, file: HubFile) -> bool:
        """Whether the content is here already and may be taken; it then stays.

        Who only announces the digest of another project's weights must bring the bytes: a digest is no secret.
        """
        digest = file.sha256
        if digest is None or not (digest in self._shared or self._blobs.has_brought(self._project, digest)):
            return False
        return self._pin(digest)

    def bring(self, file: HubFile, listing: Listing, context: JobContext, fetch: Callable[[Any], None]) -> None:
        """Stores one file, unless its content is here, and checks it if it holds weights or configuration."""
        if self.has(file):
            assert file.sha256 is not None
            digest = file.sha256
            context.advance(file.size_bytes)
        else:
            key = "\0".join((listing.identity, listing.revision or "", file.path, str(file.size_bytes), file.stamp))
            with self._blobs.partial(key, size_bytes=file.size_bytes, sha256=file.sha256) as partial:
                context.advance(partial.offset)
                fetch(partial)
                digest = self._blobs.keep(partial)
            self._blobs.note_arrival(self._project, digest)
        self._pin(digest)
        self._add(file.path, digest, file.size_bytes)

    def _add(self, path: str, digest: str, size_bytes: int) -> None:
        if path.endswith(".json") and not path.endswith(_NO_CONFIG):
            if size_bytes > _CONFIG_BYTES:  # it could not be searched for code to run
                raise InvalidError(
                    f"{path} has {size_bytes:,} bytes; a configuration has at most {_CONFIG_BYTES:,}.",
                    hint="Leave the file out, or write it without padding.",
                    code="unsafe_files",
                )
            digest, size_bytes = self._without_code(path, digest, size_bytes)
        self.files.append(ModelFile(path=path, sha256=digest, size_bytes=size_bytes))
        if path.lower().endswith(_WEIGHTS):
            check_weights(self.file_set(), path)

    def _without_code(self, path: str, digest: str, size_bytes: int) -> tuple[str, int]:
        try:
            cleaned = without_remote_code(self._blobs.read(digest))
        except InvalidError as error:
            raise InvalidError(f"{path}: {error.message}", hint=error.hint, code=error.code) from error
        if cleaned is None:
            return digest, size_bytes
        if self.strict:
            raise InvalidError(
                f"{path} names code to run (`auto_map`), which never enters.",
                hint="Remove `auto_map`, or import with skip_unsafe to have it removed from the stored copy.",
                code="unsafe_files",
                details={"files": [{"path": path, "reason": "auto_map names code to run"}]},
            )
        self.notes.append(f"removed auto_map (names code to run) from {path}")
        digest = self._blobs.add_bytes(cleaned)
        self._pin(digest)
        return digest, len(cleaned)

    def file_set(self) -> FileSet:
        """The files so far."""
        digests = {file.path: file.sha256 for file in self.files}
        return FileSet(
            {file.path: file.size_bytes for file in self.files}, lambda path: self._blobs.open(digests[path])
        )


def _card_head(files: FileSet) -> bytes:
    """The metadata on top of the model card, as hubs write it; empty when there is none."""
    path = next((path for path in _CARDS if path in files.sizes), None)
    if path is None:
        return b""
    with files.open(path) as file:
        found = _HEAD.match(file.read(8192))
    return found.group(1) if found else b""


def _stated(pattern: re.Pattern[bytes], card: bytes) -> str | None:
    found = pattern.search(card)
    return found.group(1).decode("ascii", "replace") if found else None


def _new_model(name: str, request: ImportRequest) -> ModelCreate:
    return ModelCreate(
        name=name,
        description=request.description,
        type=request.type,
        visibility=request.visibility,
        project=request.project,
    )
