"""Files sent in pieces become a version; interruptions, limits and damage."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.model_files import make_model_dir
from tests.support.model_world import ModelWorld, model_world

from aicp.artifacts.files import FileContents
from aicp.core.clock import SystemClock
from aicp.core.identity import Role
from aicp.reconcile.cleanup import Cleanup


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ModelWorld]:
    async with model_world(tmp_path / "artifacts") as world:
        yield world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model_dir(tmp_path / "m", size=300_000)


def announced(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "path": path.name,
            "size_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.iterdir())
    ]


async def create(world: ModelWorld, files: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    answer = await world.client.post("/api/v1/uploads", json={"files": files, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def put(world: ModelWorld, upload_id: str, path: str, offset: int, content: bytes) -> httpx.Response:
    url = f"/api/v1/uploads/{upload_id}/files/{path}"
    return await world.client.put(url, params={"offset": offset}, content=content)


async def send(world: ModelWorld, upload_id: str, folder: Path, piece: int = 100_000) -> None:
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for offset in range(0, len(content), piece):
            answer = await put(world, upload_id, path.name, offset, content[offset : offset + piece])
            assert answer.status_code == 200, answer.text


async def test_upload_becomes_a_version(world: ModelWorld, folder: Path) -> None:
    upload = await create(world, announced(folder))
    assert upload["state"] == "receiving"
    assert all(file["offset"] == 0 for file in upload["files"])
    await send(world, upload["id"], folder)
    upload = (await world.client.get(f"/api/v1/uploads/{upload['id']}")).json()
    assert (await world.wait(upload["job_id"])).state == "succeeded"
    assert (await world.client.get(f"/api/v1/uploads/{upload['id']}")).json()["state"] == "checked"
    job = await world.import_model("m", {"kind": "upload", "upload_id": upload["id"]})
    assert job.state == "succeeded", job.error
    version = (await world.model("m")).latest
    assert version is not None
    assert {file.path for file in version.files} == {path.name for path in folder.iterdir()}
    assert (await world.client.delete(f"/api/v1/uploads/{upload['id']}")).status_code == 204
    for file in version.files:
        assert world.importing.blobs.verify(file.sha256)


async def test_upload_continues_where_it_ended(world: ModelWorld) -> None:
    upload = await create(world, [{"path": "a.txt", "size_bytes": 6}])
    assert (await put(world, upload["id"], "a.txt", 0, b"abc")).json() == {
        "offset": 3,
        "size_bytes": 6,
        "complete": False,
    }
    wrong = await put(world, upload["id"], "a.txt", 0, b"abc")
    assert (wrong.status_code, wrong.json()["error"]["details"]) == (409, {"offset": 3})
    assert (await put(world, upload["id"], "a.txt", 5, b"f")).status_code == 409
    assert (await put(world, upload["id"], "a.txt", 3, b"defg")).status_code == 422
    assert (await put(world, upload["id"], "a.txt", 3, b"def")).json()["complete"]


async def test_broken_piece_keeps_what_came(world: ModelWorld) -> None:
    upload = await create(world, [{"path": "a.txt", "size_bytes": 6}])
    received = iter(
        [
            {"type": "http.request", "body": b"ab", "more_body": True},
            {"type": "http.request", "body": b"c", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(received)

    async def send(message: dict[str, Any]) -> None:
        """Nobody is there any more."""

    token = world.client.headers["authorization"].encode()
    scope = {"type": "http", "http_version": "1.1", "method": "PUT", "scheme": "http", "query_string": b"offset=0"}
    scope |= {"path": f"/api/v1/uploads/{upload['id']}/files/a.txt", "client": ("192.0.2.7", 1)}
    scope |= {"headers": [(b"host", b"localhost"), (b"authorization", token)]}
    await world.api.app(scope, receive, send)  # pyright: ignore
    assert (await world.client.get(f"/api/v1/uploads/{upload['id']}")).json()["files"][0]["offset"] == 3


async def test_damaged_upload_is_refused_by_its_check_and_by_the_import(world: ModelWorld, folder: Path) -> None:
    files = announced(folder)
    upload = await create(world, files)
    (folder / "tokenizer.json").write_bytes(b"{ ")
    await send(world, upload["id"], folder)
    upload = (await world.client.get(f"/api/v1/uploads/{upload['id']}")).json()
    check = await world.wait(upload["job_id"])
    assert check.error is not None
    assert check.error["code"] == "digest_mismatch"
    assert "tokenizer.json" in (await world.client.get(f"/api/v1/uploads/{upload['id']}")).json()["error"]
    answer = await world.start_import("m", {"kind": "upload", "upload_id": upload["id"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "upload_refused")


async def test_incomplete_upload_is_not_imported(world: ModelWorld) -> None:
    upload = await create(world, [{"path": "model.safetensors", "size_bytes": 6}])
    answer = await world.start_import("m", {"kind": "upload", "upload_id": upload["id"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "upload_incomplete")


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a\\b", "a/../../x", "con\u202etxt"])
async def test_dangerous_paths_are_refused(world: ModelWorld, path: str) -> None:
    answer = await world.client.post("/api/v1/uploads", json={"files": [{"path": path, "size_bytes": 1}]})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["files"][0]["path"] == path


async def test_colliding_and_impossible_files_are_refused(world: ModelWorld) -> None:
    same = [{"path": "A.json", "size_bytes": 1}, {"path": "a.json", "size_bytes": 1}]
    assert (await world.client.post("/api/v1/uploads", json={"files": same})).status_code == 422
    huge = [{"path": "a.json", "size_bytes": 2**49}]
    assert (await world.client.post("/api/v1/uploads", json={"files": huge})).status_code == 507
    assert (await world.client.post("/api/v1/uploads", json={"files": []})).status_code == 422


async def test_code_in_an_upload_is_refused(world: ModelWorld) -> None:
    upload = await create(world, [{"path": "x.py", "size_bytes": 0}, {"path": "model.safetensors", "size_bytes": 0}])
    answer = await world.start_import("m", {"kind": "upload", "upload_id": upload["id"]})
    assert answer.status_code == 422
    refused = answer.json()["error"]["details"]["files"]
    assert refused == [{"path": "x.py", "reason": "code"}]
    upload = (await world.client.get(f"/api/v1/uploads/{upload['id']}")).json()
    await world.wait(upload["job_id"])
    answer = await world.start_import("m", {"kind": "upload", "upload_id": upload["id"]})
    assert (answer.status_code, answer.json()["error"]["details"]["files"]) == (422, refused)


@pytest.mark.parametrize("upload_id", ["upl_unknown", "..", "../../x", "a/b", "A"])
async def test_unknown_uploads_are_not_found(world: ModelWorld, upload_id: str) -> None:
    answer = await world.start_import("m", {"kind": "upload", "upload_id": upload_id})
    assert answer.status_code == 404


async def test_uploads_are_their_makers_alone(world: ModelWorld) -> None:
    upload = await create(world, [{"path": "a.txt", "size_bytes": 1}])
    other = world.api.client(Role.PLATFORM_ADMIN)
    assert (await other.get(f"/api/v1/uploads/{upload['id']}")).status_code == 404
    assert (await other.put(f"/api/v1/uploads/{upload['id']}/files/a.txt", content=b"x")).status_code == 404
    assert (await put(world, upload["id"], "b.txt", 0, b"x")).status_code == 404


async def test_own_uploads_are_listed_newest_first(world: ModelWorld) -> None:
    first = await create(world, [{"path": "a.txt", "size_bytes": 3}, {"path": "b.txt", "size_bytes": 1}])
    await put(world, first["id"], "a.txt", 0, b"ab")
    world.api.parts.clock.advance(1)
    second = await create(world, [{"path": "a.txt", "size_bytes": 1}])
    page = (await world.client.get("/api/v1/uploads")).json()
    assert [item["id"] for item in page["items"]] == [second["id"], first["id"]]
    assert (page["items"][1]["files"], page["items"][1]["size_bytes"], page["items"][1]["received_bytes"]) == (2, 4, 2)
    page = (await world.client.get("/api/v1/uploads", params={"limit": 1})).json()
    assert (len(page["items"]), page["total"]) == (1, 2)
    other = world.api.client(Role.PLATFORM_ADMIN)
    assert (await other.get("/api/v1/uploads")).json()["total"] == 0


async def test_number_of_uploads_is_limited(world: ModelWorld) -> None:
    for _ in range(20):
        await create(world, [{"path": "a.txt", "size_bytes": 1}])
    answer = await world.client.post("/api/v1/uploads", json={"files": [{"path": "a.txt", "size_bytes": 1}]})
    assert answer.status_code == 409


async def test_expired_uploads_are_removed(world: ModelWorld, tmp_path: Path) -> None:
    upload = await create(world, [{"path": "a.txt", "size_bytes": 2}])
    await put(world, upload["id"], "a.txt", 0, b"x")
    world.api.parts.clock.advance(timedelta(hours=25).total_seconds())
    assert (await world.client.get(f"/api/v1/uploads/{upload['id']}")).status_code == 404
    world.uploads.keep_only(set(), older_than=0)
    cleanup = Cleanup(
        world.api.parts.database,
        _Tomorrow(),
        world.importing.blobs,
        world.importing.credentials,
        world.uploads,
        FileContents(tmp_path / "files"),
    )
    await cleanup.once()
    assert not list(world.uploads.directory.iterdir())


class _Tomorrow(SystemClock):
    def now(self) -> Any:
        return super().now() + timedelta(days=2)


async def test_an_imported_upload_counts_no_longer_and_its_files_are_gone(world: ModelWorld, folder: Path) -> None:
    for _ in range(19):
        await create(world, [{"path": "a.txt", "size_bytes": 1}])
    upload = await create(world, announced(folder))
    await send(world, upload["id"], folder)
    job = await world.import_model("m", {"kind": "upload", "upload_id": upload["id"]})
    assert job.state == "succeeded", job.error
    found = (await world.client.get(f"/api/v1/uploads/{upload['id']}")).json()
    assert found["state"] == "imported"
    assert [file["offset"] for file in found["files"]] == [file["size_bytes"] for file in found["files"]]
    assert not (world.uploads.directory / upload["id"]).exists()
    assert (await world.wait(found["job_id"])).state == "succeeded"
    again = await world.start_import("n", {"kind": "upload", "upload_id": upload["id"]})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "upload_imported")
    await create(world, [{"path": "a.txt", "size_bytes": 1}])


async def test_a_failed_import_leaves_the_upload_for_another_try(world: ModelWorld, folder: Path) -> None:
    (folder / "x.py").write_text("pass")
    upload = await create(world, announced(folder))
    await send(world, upload["id"], folder)
    source = {"kind": "upload", "upload_id": upload["id"]}
    assert (await world.start_import("m", source)).status_code == 422
    job = await world.import_model("m", source, skip_unsafe=True)
    assert job.state == "succeeded", job.error
