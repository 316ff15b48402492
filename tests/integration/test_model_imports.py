"""Folders become versions through the REST interface; what is wrong is refused in words and leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.model_files import make_model_dir, safetensors_of_header
from tests.support.model_world import ModelWorld, directory, model_world
from tests.support.platform_jobs import Importing, working

from aicp.core.bell import Bell
from aicp.core.clock import SystemClock
from aicp.core.identity import Role
from aicp.core.job import FINISHED_JOB_STATES, JobState
from aicp.core.model import DirectorySource, ImportRequest
from aicp.hubs.base import HubContext, HubFile, Sink
from aicp.store.database import Database
from aicp.store.jobs import Jobs
from aicp.store.models import Models


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ModelWorld]:
    async with model_world(tmp_path / "artifacts") as world:
        yield world


async def test_folder_becomes_a_version(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "tiny")
    (folder / ".gitattributes").write_text("*")
    job = await world.import_model("tiny", directory(folder))
    assert job.state == "succeeded", job.error
    assert job.result["version"] == "v1"
    model = await world.model("tiny")
    assert (model.type, model.aliases, model.versions) == ("chat", {"latest": "v1"}, 1)
    version = model.latest
    assert version is not None
    assert (version.parameters, version.weight_bytes) == (2048, (folder / "model.safetensors").stat().st_size)
    assert (version.dtype, version.context_length, version.license) == ("bfloat16", 512, "apache-2.0")
    assert version.lineage["base_model"] == "maker/base-1"
    assert version.architecture.has_chat_template
    assert version.architecture.kv_heads == 2
    assert version.notes == ["left out .gitattributes: not part of a model"]
    for file in version.files:
        assert world.importing.blobs.open(file.sha256).read() == (folder / file.path).read_bytes()
    assert all(path.startswith("blobs/") for path in world.files())


async def test_same_content_again_is_the_same_version(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "tiny")
    await world.import_model("tiny", directory(folder))
    before = world.files()
    again = await world.import_model("tiny", directory(folder))
    assert (again.result["version"], again.result["existing"]) == ("v1", True)
    other = await world.import_model("copy", directory(folder))
    assert (other.result["version"], other.result["existing"]) == ("v1", False)
    assert world.files() == before


async def test_two_imports_of_the_same_content_at_once(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "tiny", size=2_000_000)
    jobs = await asyncio.gather(*(world.import_model(name, directory(folder)) for name in ("a", "b")))
    assert [job.state for job in jobs] == ["succeeded", "succeeded"]
    assert len(list(world.importing.blobs.digests())) == len(list(folder.iterdir()))
    assert all(path.startswith("blobs/") for path in world.files())


async def test_second_version_and_aliases(world: ModelWorld, tmp_path: Path) -> None:
    await world.import_model("m", directory(make_model_dir(tmp_path / "one")))
    await world.import_model("m", directory(make_model_dir(tmp_path / "two", seed=1)), version="release")
    url = "/api/v1/models/m"
    assert (await world.client.put(f"{url}/aliases/prod", json={"version": "v1"})).status_code == 200
    assert (await world.model("m")).aliases == {"prod": "v1", "latest": "release"}
    assert (await world.client.get(f"{url}/versions/prod")).json()["version"] == "v1"
    assert [item["version"] for item in (await world.client.get(f"{url}/versions")).json()["items"]] == [
        "release",
        "v1",
    ]
    assert (await world.client.put(f"{url}/aliases/latest", json={"version": "v1"})).status_code == 422
    assert (await world.client.put(f"{url}/aliases/v1", json={"version": "release"})).status_code == 409
    assert (await world.client.put(f"{url}/aliases/prod", json={"version": "v9"})).status_code == 404
    assert (await world.client.delete(f"{url}/aliases/prod")).status_code == 204
    assert (await world.client.delete(f"{url}/aliases/prod")).status_code == 404
    taken = await world.start_import("m", directory(tmp_path / "one"), version="release")
    assert taken.status_code == 409


async def test_deleted_versions_free_their_files_unless_shared(world: ModelWorld, tmp_path: Path) -> None:
    await world.import_model("a", directory(make_model_dir(tmp_path / "one")))
    await world.import_model("b", directory(make_model_dir(tmp_path / "two", seed=1)))
    assert (await world.client.delete("/api/v1/models/a/versions/v1")).status_code == 204
    version = (await world.model("b")).latest
    assert version is not None
    assert set(world.importing.blobs.digests()) == {file.sha256 for file in version.files}
    assert (await world.client.delete("/api/v1/models/b")).status_code == 204
    assert world.files() == []
    assert (await world.client.get("/api/v1/models/b")).status_code == 404


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("modeling.py", b"print()"),
        ("pytorch_model.bin", b"\x80\x02"),
        ("config.json", b'{"auto_map": {"AutoModel": "x.Y"}, "architectures": ["X"]}'),
    ],
)
async def test_code_in_a_folder_is_refused_unless_skipped(
    world: ModelWorld, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = make_model_dir(tmp_path / "m")
    (folder / name).write_bytes(content)
    answer = await world.start_import("m", directory(folder))
    error = (await world.wait(answer.json()["id"])).error if answer.status_code == 202 else answer.json()["error"]
    assert error is not None
    assert error["code"] == "unsafe_files"
    assert [item["path"] for item in error["details"]["files"]] == [name]
    job = await world.import_model("m", directory(folder), skip_unsafe=True)
    assert job.state == "succeeded", job.error
    version = (await world.model("m")).latest
    assert version is not None
    assert any(name in note for note in version.notes)
    stored = {file.path: world.importing.blobs.read(file.sha256) for file in version.files}
    assert b"auto_map" not in stored["config.json"]
    assert set(stored) <= {"config.json", "tokenizer.json", "tokenizer_config.json", "README.md", "model.safetensors"}


async def test_untidy_folders_are_refused_before_a_job_starts(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "m")
    (folder / "link.json").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    answer = await world.start_import("m", directory(folder))
    assert answer.status_code == 422
    files = answer.json()["error"]["details"]["files"]
    assert files == [
        {"path": "link.json", "reason": "a symbolic link"},
        {"path": "pipe", "reason": "no regular file"},
    ]


@pytest.mark.parametrize(
    ("path", "status"), [("/nonexistent/x", 404), ("relative", 422), ("/etc/hostname", 422), ("/a\0b", 422)]
)
async def test_wrong_paths_are_refused(world: ModelWorld, path: str, status: int) -> None:
    assert (await world.start_import("m", {"kind": "directory", "path": path})).status_code == status


async def test_broken_weights_fail_in_words_and_leave_no_version(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(
        safetensors_of_header(b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}')
    )
    job = await world.import_model("m", directory(folder))
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error["status"], job.error["code"]) == (422, "broken_safetensors")
    assert "model.safetensors" in job.error["message"]
    assert (await world.client.get("/api/v1/models/m")).status_code == 404


async def test_names_and_fields_are_checked(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "m")
    assert (await world.start_import("Not a name", directory(folder))).status_code == 422
    assert (await world.start_import("m", {"kind": "ftp"})).status_code == 422
    assert (await world.start_import("m", directory(folder), version="latest")).status_code == 422
    assert (await world.start_import("m", directory(folder), unknown=1)).status_code == 422
    assert (await world.start_import("m", directory(folder), project="other")).status_code == 404


async def test_projects_must_exist(world: ModelWorld, tmp_path: Path) -> None:
    admin = world.api.client(Role.PLATFORM_ADMIN)
    body = {"source": directory(make_model_dir(tmp_path / "m")), "project": "mistyped"}
    assert (await admin.post("/api/v1/models/m/import", json=body)).status_code == 404
    assert (await admin.post("/api/v1/models", json={"name": "m", "project": "mistyped"})).status_code == 404
    assert (await admin.post("/api/v1/models", json={"name": "m", "project": "other"})).status_code == 201


async def test_private_models_are_unknown_to_others(world: ModelWorld, tmp_path: Path) -> None:
    await world.import_model("secret", directory(make_model_dir(tmp_path / "m")), visibility="project")
    job_id = (await world.client.get("/api/v1/jobs")).json()["items"][0]["id"]
    stranger = world.api.client(Role.DEVELOPER, project="other")
    for path in ("/models/secret", "/models/secret/versions", "/models/secret/versions/v1", f"/jobs/{job_id}"):
        assert (await stranger.get(f"/api/v1{path}")).status_code == 404
        assert (await world.client.get(f"/api/v1{path}")).status_code == 200
    assert (await stranger.get("/api/v1/models")).json()["total"] == 0
    assert (await stranger.delete("/api/v1/models/secret")).status_code == 404
    assert (await stranger.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 404
    answer = await stranger.post(
        "/api/v1/models/secret/import", json={"source": directory(tmp_path), "project": "other"}
    )
    assert answer.status_code == 404


async def test_public_models_are_changed_by_their_project_only(world: ModelWorld, tmp_path: Path) -> None:
    await world.import_model("m", directory(make_model_dir(tmp_path / "m")))
    stranger = world.api.client(Role.DEVELOPER, project="other")
    assert (await stranger.get("/api/v1/models/m")).status_code == 200
    assert (await stranger.patch("/api/v1/models/m", json={"description": "mine"})).status_code == 403
    assert (await world.api.client(Role.VIEWER).delete("/api/v1/models/m")).status_code == 403
    changed = await world.client.patch("/api/v1/models/m", json={"description": "ours", "type": "vision"})
    assert (changed.json()["description"], changed.json()["type"]) == ("ours", "vision")


async def test_job_is_followed_by_server_sent_events(world: ModelWorld, tmp_path: Path) -> None:
    answer = await world.start_import("m", directory(make_model_dir(tmp_path / "m")))
    events = await world.client.get(f"/api/v1/jobs/{answer.json()['id']}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    states = [json.loads(line[5:])["state"] for line in events.text.splitlines() if line.startswith("data:")]
    assert states[-1] == "succeeded"
    assert (await world.client.get("/api/v1/jobs/job_unknown/events")).status_code == 404


async def test_running_import_is_canceled_and_leaves_no_version(
    world: ModelWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = world.importing.hubs.get("directory")
    fetch = hub.fetch

    def slow(source: DirectorySource, file: HubFile, sink: Sink, context: HubContext) -> None:
        for _ in range(1000):
            context.progress.advance(0)
            time.sleep(0.02)
        fetch(source, file, sink, context)

    monkeypatch.setattr(hub, "fetch", slow)
    answer = await world.start_import("m", directory(make_model_dir(tmp_path / "m")))
    job_id = answer.json()["id"]
    while (await world.client.get(f"/api/v1/jobs/{job_id}")).json()["state"] != "running":
        await asyncio.to_thread(time.sleep, 0.02)
    assert (await world.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
    start = time.monotonic()
    assert (await world.wait(job_id)).state == "canceled"
    assert time.monotonic() - start < 2
    assert (await world.client.get("/api/v1/models/m")).status_code == 404


async def test_full_disk_is_told_before_anything_is_copied(
    world: ModelWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))  # pyright: ignore
    job = await world.import_model("m", directory(make_model_dir(tmp_path / "m")))
    assert job.error is not None
    assert (job.error["status"], job.error["code"]) == (507, "no_space")
    assert world.files() == []


_IMPORT = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.support.platform_jobs import Importing
from aicp.artifacts import partial
from aicp.core.bell import Bell
from aicp.store.database import Database

write = partial.Partial.write
def die_in_the_middle(self, chunk):
    write(self, chunk)
    if self.offset > 6_000_000:
        os.kill(os.getpid(), signal.SIGKILL)
partial.Partial.write = die_in_the_middle

async def main():
    importing = Importing(Path(sys.argv[1]), Database(sys.argv[2]), Bell())
    await importing.runner(name="first").run()
asyncio.run(main())
"""


async def test_killed_import_leaves_no_version_and_continues(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model_dir(tmp_path / "big", size=10_000_000)
    database, clock = Database(sqlite_url), SystemClock()
    request = ImportRequest(source=DirectorySource(path=str(folder))).model_dump(mode="json")
    async with database.transaction() as tx:
        job = await Jobs(tx).create("model_import", "x", at=clock.now(), parameters={"model": "m", "request": request})
    command = [sys.executable, "-c", _IMPORT, str(tmp_path / "artifacts"), sqlite_url]
    killed = await asyncio.to_thread(subprocess.run, command, timeout=60, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    async with database.snapshot() as tx:
        assert (await Jobs(tx).get(job.id)).state is JobState.RUNNING
        assert await Models(tx).find("m") is None
    importing = Importing(tmp_path / "artifacts", database, Bell())
    left = [path.stat().st_size for path in (tmp_path / "artifacts" / "partial").iterdir()]
    assert any(size > 6_000_000 for size in left)
    hub, began_at = importing.hubs.get("directory"), list[int]()
    fetch = hub.fetch

    def recorded(source: DirectorySource, file: HubFile, sink: Sink, context: HubContext) -> None:
        began_at.append(sink.offset)
        fetch(source, file, sink, context)

    monkeypatch.setattr(hub, "fetch", recorded)
    async with working(importing.runner(name="second")):
        while (await _state(database, job.id)) not in FINISHED_JOB_STATES:
            await asyncio.to_thread(time.sleep, 0.02)
    assert max(began_at) > 6_000_000
    async with database.snapshot() as tx:
        version = await Models(tx).version("m", "latest")
    weights = next(file for file in version.files if file.path == "model.safetensors")
    assert importing.blobs.open(weights.sha256).read() == (folder / "model.safetensors").read_bytes()
    await database.close()


async def _state(database: Database, job_id: str) -> JobState:
    async with database.snapshot() as tx:
        return (await Jobs(tx).get(job_id)).state


async def test_catalog_lists_known_models(world: ModelWorld) -> None:
    page = (await world.client.get("/api/v1/catalog")).json()
    assert page["total"] >= 20
    assert all(item["fit"]["fits"] is False for item in page["items"])  # no node has joined
    assert (await world.client.get("/api/v1/catalog", params={"pool": "missing"})).status_code == 404
    found = (await world.client.get("/api/v1/catalog", params={"search": "qwen3", "type": "embedding"})).json()
    assert [item["name"] for item in found["items"]] == ["qwen3-embedding-0.6b"]
