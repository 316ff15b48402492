"""Who may take what by an import: digests, uploads, names and folders of others are no way in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.model_files import make_model_dir
from tests.support.model_world import ModelWorld, directory, model_world
from tests.support.platform_jobs import wait_for_job

from aicp.core.identity import Role
from aicp.core.job import Job, JobState


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ModelWorld]:
    async with model_world(tmp_path / "data", closed_directories=(tmp_path / "data",)) as world:
        yield world


async def upload(world: ModelWorld, folder: Path, *, lie: bool = False, project: str = "default") -> str:
    """Sends a folder with announced digests; `lie` sends zeros instead of the bytes. The upload's id."""
    client = world.api.client(Role.DEVELOPER, project=project)
    files: list[dict[str, Any]] = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": path.name, "size_bytes": len(content), "sha256": digest})
    made = (await client.post("/api/v1/uploads", json={"files": files, "project": project})).json()
    for path in sorted(folder.iterdir()):
        content = bytes(path.stat().st_size) if lie else path.read_bytes()
        await client.put(f"/api/v1/uploads/{made['id']}/files/{path.name}", params={"offset": 0}, content=content)
    return made["id"]


async def checked(world: ModelWorld, upload_id: str, project: str = "default") -> str:
    """The state of an upload after its check."""
    client = world.api.client(Role.DEVELOPER, project=project)
    jobs = (await client.get("/api/v1/jobs", params={"kind": "upload_check"})).json()["items"]
    await wait_for_job(client, jobs[0]["id"])
    return (await client.get(f"/api/v1/uploads/{upload_id}")).json()["state"]


async def start(world: ModelWorld, project: str, name: str, source: dict[str, Any], **fields: Any) -> Any:
    client = world.api.client(Role.DEVELOPER, project=project)
    return await client.post(f"/api/v1/models/{name}/import", json={"source": source, "project": project, **fields})


async def finish(world: ModelWorld, project: str, answer: Any) -> Job:
    assert answer.status_code == 202, answer.text
    return await wait_for_job(world.api.client(Role.DEVELOPER, project=project), answer.json()["id"])


async def test_a_digest_alone_brings_no_weights_of_another_project(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "private", size=50_000)
    assert (await world.import_model("secret", directory(folder), visibility="project")).state is JobState.SUCCEEDED
    upload_id = await upload(world, folder, lie=True, project="other")
    assert await checked(world, upload_id, "other") == "refused"
    answer = await start(world, "other", "mine", {"kind": "upload", "upload_id": upload_id})
    assert answer.status_code == 409, answer.text
    # Who has the bytes may bring them, and they are stored once.
    upload_id = await upload(world, folder, project="other")
    assert await checked(world, upload_id, "other") == "checked"
    job = await finish(world, "other", await start(world, "other", "mine", {"kind": "upload", "upload_id": upload_id}))
    assert job.state is JobState.SUCCEEDED, job.error


async def test_only_its_owner_imports_an_upload(world: ModelWorld, tmp_path: Path) -> None:
    upload_id = await upload(world, make_model_dir(tmp_path / "m"))
    assert await checked(world, upload_id) == "checked"
    answer = await start(world, "other", "stolen", {"kind": "upload", "upload_id": upload_id})
    assert answer.status_code == 404
    assert (await start(world, "default", "fine", {"kind": "upload", "upload_id": upload_id})).status_code == 202


async def test_a_name_that_another_project_took_meanwhile_gets_no_version(tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "m")
    async with model_world(tmp_path / "data", work=False) as world:
        answer = await start(world, "other", "raced", directory(folder))
        assert answer.status_code == 202
        owner = world.api.client(Role.DEVELOPER)
        assert (await owner.post("/api/v1/models", json={"name": "raced"})).status_code == 201
        async with world.importing.running():
            job = await finish(world, "other", answer)
        assert (job.state, (job.error or {})["code"]) == (JobState.FAILED, "conflict")
        assert (await owner.get("/api/v1/models/raced")).json()["versions"] == 0


async def test_the_platforms_own_folders_are_closed(world: ModelWorld, tmp_path: Path) -> None:
    for path in (tmp_path / "data" / "blobs", tmp_path / "data", tmp_path):
        answer = await world.start_import("m", directory(path))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "directory_not_allowed")


async def test_only_opened_folders_are_read(tmp_path: Path) -> None:
    inside, outside = make_model_dir(tmp_path / "open" / "m"), make_model_dir(tmp_path / "elsewhere")
    async with model_world(tmp_path / "data", directories=(tmp_path / "open",)) as world:
        assert (await world.import_model("m", directory(inside))).state is JobState.SUCCEEDED
        assert (await world.start_import("n", directory(outside))).status_code == 403


async def test_a_name_that_is_no_utf8_is_told_with_escapes(world: ModelWorld, tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path / "m")
    (folder / os.fsdecode(b"bad\xff.py")).write_text("pass")
    answer = await world.start_import("m", directory(folder))
    assert answer.status_code == 422, answer.text
    assert "bad\\\\udcff.py" in answer.text


async def test_an_alias_hides_no_version(world: ModelWorld, tmp_path: Path) -> None:
    await world.import_model("m", directory(make_model_dir(tmp_path / "a", seed=1)))
    assert (await world.client.put("/api/v1/models/m/aliases/v2", json={"version": "v1"})).is_success
    await world.import_model("m", directory(make_model_dir(tmp_path / "b", seed=2)))
    assert {item["version"] for item in (await world.client.get("/api/v1/models/m/versions")).json()["items"]} == {
        "v1",
        "v3",
    }


async def test_an_own_model_needs_no_project_named(tmp_path: Path) -> None:
    async with model_world(tmp_path / "data") as world:
        client = world.api.client(Role.DEVELOPER, project="other")
        await client.post("/api/v1/models", json={"name": "ours", "project": "other"})
        source = directory(make_model_dir(tmp_path / "m"))
        assert (await client.post("/api/v1/models/ours/import", json={"source": source})).status_code == 202


async def test_a_canceled_check_leaves_no_upload_waiting(tmp_path: Path) -> None:
    async with model_world(tmp_path / "data", work=False) as world:
        upload_id = await upload(world, make_model_dir(tmp_path / "m"))
        (job,) = (await world.client.get("/api/v1/jobs", params={"kind": "upload_check"})).json()["items"]
        assert (await world.client.post(f"/api/v1/jobs/{job['id']}/cancel")).is_success
        async with world.importing.running():
            await wait_for_job(world.client, job["id"])
        found = (await world.client.get(f"/api/v1/uploads/{upload_id}")).json()
        assert found["state"] == "refused"
        assert found["error"]
