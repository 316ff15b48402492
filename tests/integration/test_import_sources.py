"""Imports from hubs, stores and archives that redirect, break off, lie, or are hostile."""

from __future__ import annotations

import json
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.archives import tar_of, tar_of_member, zip_of
from tests.support.hub_server import HubServer, hub_server
from tests.support.model_files import CONFIG, gguf_bytes, make_model_dir
from tests.support.model_world import ModelWorld, model_world
from tests.support.platform_jobs import wait_for_job
from tests.support.s3_server import S3Server, s3_server

from aicp.cli.declarations import source_of
from aicp.core.identity import Role
from aicp.core.job import Job

LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with s3_server() as store:
        yield store


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ModelWorld]:
    async with model_world(tmp_path / "artifacts", allowed_networks=LOOPBACK) as world:
        yield world


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    folder = make_model_dir(tmp_path / "tiny", size=6_000_000)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


async def check_stored(world: ModelWorld, files: dict[str, bytes], name: str = "m") -> None:
    version = (await world.model(name)).latest
    assert version is not None
    stored = {file.path: world.importing.blobs.open(file.sha256).read() for file in version.files}
    assert stored == files
    assert all(path.startswith("blobs/") for path in world.files())


def failed(job: Job) -> tuple[int, str]:
    assert job.error is not None
    return job.error["status"], job.error["code"]


def left_nothing(world: ModelWorld) -> bool:
    return not [path for path in world.files() if path.startswith(("work/", "credentials/"))]


async def test_s3_with_parts_errors_and_a_cut_connection(
    world: ModelWorld, store: S3Server, files: dict[str, bytes]
) -> None:
    source = store.put("bucket", "models/tiny", files, part_bytes=5 * 2**20)
    store.failures, store.ranges = 5, []
    store.cuts = [100, 2_000_000, 1_000_000]
    job = await world.import_model("m", source.model_dump(mode="json"))
    assert job.state == "succeeded", job.error
    await check_stored(world, files)
    assert store.ranges
    version = (await world.model("m")).latest
    assert version is not None
    assert version.lineage["endpoint"] == source.endpoint
    assert version.lineage["credentials"] == ["access_key", "secret_key"]
    assert source_of(version)[0] == source.model_dump(
        mode="json", exclude_none=True, exclude={"access_key", "secret_key"}
    ) | {"prefix": "models/tiny/"}
    assert "secret" not in json.dumps((await world.client.get(f"/api/v1/jobs/{job.id}")).json())
    assert left_nothing(world)


async def test_s3_that_stays_down_fails_in_words_and_continues_later(
    world: ModelWorld, store: S3Server, files: dict[str, bytes]
) -> None:
    source = store.put("bucket2", "x", files)
    store.failures = 1000
    job = await world.import_model("m", source.model_dump(mode="json"))
    store.failures = 0
    assert failed(job) == (503, "unavailable")
    assert (await world.import_model("m", source.model_dump(mode="json"))).state == "succeeded"


@pytest.mark.parametrize("kind", ["huggingface", "modelscope"])
async def test_hub_with_redirects_and_a_cut_connection(
    world: ModelWorld, server: HubServer, files: dict[str, bytes], kind: str
) -> None:
    server.repo = files
    server.cuts["/cdn/model.safetensors"] = [2_000_000]
    job = await world.import_model("m", {"kind": kind, "repo": "owner/tiny", "endpoint": server.url})
    assert job.state == "succeeded", job.error
    await check_stored(world, files)
    assert [path for _, path, _ in server.seen].count("/cdn/model.safetensors") >= 2
    version = (await world.model("m")).latest
    assert version is not None
    assert version.license == "apache-2.0"
    assert version.source == f"{kind}:owner/tiny"
    revision = {"revision": version.lineage["revision"]}
    assert source_of(version) == ({"kind": kind, "repo": "owner/tiny", **revision, "endpoint": server.url}, [])


@pytest.mark.parametrize("kind", ["url", "s3", "huggingface", "modelscope"])
async def test_a_failed_download_is_continued_by_a_new_job(
    world: ModelWorld,
    server: HubServer,
    store: S3Server,
    files: dict[str, bytes],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_RETRY_TIMES", 1)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)  # a larger one is lost with the line
    cuts = [2_000_000, *[0] * 8]
    source: dict[str, Any] = {"kind": kind, "repo": "owner/tiny", "endpoint": server.url}
    path = "/cdn/model.safetensors"
    server.repo = files
    if kind == "url":
        path, server.files["m.tar.gz"] = "/files/m.tar.gz", tar_of(files)
        source = {"kind": "url", "url": f"{server.url}/files/m.tar.gz?X-Amz-Signature=first&v=1"}
    if kind == "s3":
        source, store.cuts, store.ranges = store.put("again", "x", files).model_dump(mode="json"), cuts, []
    else:
        server.cuts[path] = cuts
    job = await world.import_model("m", source)
    assert failed(job) == (503, "unavailable")
    assert not (world.importing.blobs.root / "work" / job.id).exists()
    server.cuts.clear()
    server.seen.clear()
    store.cuts, store.ranges = [], []
    if kind == "url":
        source["url"] = source["url"].replace("first", "second")
    job = await world.import_model("m", source)
    assert job.state == "succeeded", job.error
    assert (store.ranges if kind == "s3" else server.ranges(path)) == ["bytes=2000000-"]
    await check_stored(world, files)


@pytest.mark.parametrize("change", ["content", "query", "project"])
async def test_another_download_is_not_continued(
    world: ModelWorld, server: HubServer, files: dict[str, bytes], change: str
) -> None:
    packed = tar_of(files)
    server.files["x"] = packed
    server.cuts["/files/x"] = [1_000_000, *[0] * 8]
    url, name = f"{server.url}/files/x?v=1", "m"
    assert failed(await world.import_model(name, {"kind": "url", "url": url})) == (503, "unavailable")
    server.cuts.clear()
    server.seen.clear()
    if change == "content":
        files["README.md"] = b"another"
        server.files["x"] = tar_of(files)
    if change == "query":
        url = url.replace("v=1", "v=2")
    client = world.api.client(Role.DEVELOPER, project="other" if change == "project" else "default")
    body = {"source": {"kind": "url", "url": url}, "project": "other" if change == "project" else "default"}
    answer = await client.post(f"/api/v1/models/{name}/import", json=body)
    job = await wait_for_job(client, answer.json()["id"])
    assert job.state == "succeeded", job.error
    assert bool(server.ranges("/files/x")) == (change == "content")  # asked for, and refused by the server's If-Range
    version = (await world.model(name)).latest
    assert version is not None
    stored = {file.path: world.importing.blobs.open(file.sha256).read() for file in version.files}
    assert stored == files


@pytest.mark.parametrize("kind", ["huggingface", "modelscope"])
async def test_hub_that_lies_about_a_digest_is_refused(
    world: ModelWorld, server: HubServer, files: dict[str, bytes], kind: str
) -> None:
    server.repo = files
    server.digests["model.safetensors"] = "0" * 64
    job = await world.import_model("m", {"kind": kind, "repo": "owner/tiny", "endpoint": server.url})
    assert failed(job) == (422, "digest_mismatch")
    assert (await world.client.get("/api/v1/models/m")).status_code == 404
    assert not [path for path in world.files() if path.startswith("partial/")]


async def test_code_on_a_hub_is_left_out_and_noted(
    world: ModelWorld, server: HubServer, files: dict[str, bytes]
) -> None:
    config = {**CONFIG, "auto_map": {"AutoModel": "modeling.X"}}
    server.repo = {
        **files,
        "modeling.py": b"evil",
        "pytorch_model.bin": b"\x80",
        "config.json": json.dumps(config).encode(),
    }
    job = await world.import_model("m", {"kind": "huggingface", "repo": "owner/tiny", "endpoint": server.url})
    assert job.state == "succeeded", job.error
    version = (await world.model("m")).latest
    assert version is not None
    assert {file.path for file in version.files} == set(files)
    assert version.notes == [
        "left out modeling.py: code",
        "left out pytorch_model.bin: a pickle or archive that can run code when loaded",
        "removed auto_map (names code to run) from config.json",
    ]
    assert "auto_map" not in version.architecture.config
    assert not any("modeling.py" in path for _, path, _ in server.seen)


async def test_one_of_several_gguf_files_is_chosen(world: ModelWorld, server: HubServer) -> None:
    weights = gguf_bytes({"general.architecture": "llama"}, {"t": (0, (8,), 32)})
    server.repo = {"m-Q4_K_M.gguf": weights, "m-Q8_0.gguf": weights, "README.md": b"x"}
    source = {"kind": "huggingface", "repo": "owner/tiny", "endpoint": server.url}
    assert failed(await world.import_model("m", source)) == (422, "several_models")
    job = await world.import_model("m", {**source, "include": ["*Q4_K_M*"]})
    assert job.state == "succeeded", job.error
    await check_stored(world, {"m-Q4_K_M.gguf": weights, "README.md": b"x"})


async def test_a_password_in_an_address_is_refused_at_once(world: ModelWorld) -> None:
    for source in (
        {"kind": "url", "url": "http://user:pass-word@127.0.0.1/x"},
        {"kind": "s3", "bucket": "b", "endpoint": "https://user:pass-word@s3.example.org"},
    ):
        answer = await world.start_import("m", source)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "url_not_allowed")
        assert "pass-word" not in answer.text


async def test_the_query_of_a_signed_address_is_stored_nowhere(world: ModelWorld, server: HubServer) -> None:
    server.files["x"] = tar_of({"a.txt": b"no model"})
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/x?signature=hidden"})
    assert job.parameters["request"]["source"]["url"] == f"{server.url}/files/x"
    async with world.api.parts.database.snapshot() as tx:
        told = str(list(await tx.session.execute(text("SELECT * FROM events"))))
    assert "files/x" in told
    assert "hidden" not in job.model_dump_json() + told


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data", "http://192.168.7.7/x"])
async def test_hub_cannot_send_the_platform_elsewhere(
    world: ModelWorld, server: HubServer, files: dict[str, bytes], location: str
) -> None:
    server.repo = files
    server.redirects["/owner/tiny/resolve/commit1/config.json"] = location
    job = await world.import_model("m", {"kind": "huggingface", "repo": "owner/tiny", "endpoint": server.url})
    assert failed(job) == (400, "url_not_allowed")


@pytest.mark.parametrize("name", ["tiny.tar.gz", "tiny.tar", "tiny.zip", "download"])
async def test_archives_are_unpacked_whatever_they_are_called(
    world: ModelWorld, server: HubServer, files: dict[str, bytes], name: str
) -> None:
    inside = {f"tiny/{path}": content for path, content in files.items()}
    packed = zip_of(inside) if name.endswith("zip") else tar_of(inside, compress=not name.endswith("tar"))
    server.files[name] = packed
    server.cuts[f"/files/{name}"] = [1_000_000, 500_000]
    server.statuses[f"/files/{name}"] = [503]
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/{name}?signature=secret"})
    assert job.state == "succeeded", job.error
    await check_stored(world, files)
    assert server.ranges(f"/files/{name}") == ["bytes=1000000-", "bytes=1500000-"]
    version = (await world.model("m")).latest
    assert version is not None
    assert version.source == f"{server.url}/files/{name}"


@pytest.mark.parametrize("fault", ["ignore_ranges", "no_etags"])
async def test_servers_that_cannot_continue_start_over(
    world: ModelWorld, server: HubServer, files: dict[str, bytes], fault: str
) -> None:
    server.ignore_ranges, server.etags = fault == "ignore_ranges", fault != "no_etags"
    server.files["m.tar.gz"] = tar_of(files)
    server.cuts["/files/m.tar.gz"] = [1_000_000]
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/m.tar.gz"})
    assert job.state == "succeeded", job.error
    await check_stored(world, files)


async def test_single_gguf_file(world: ModelWorld, server: HubServer) -> None:
    weights = gguf_bytes({"general.architecture": "llama", "general.file_type": 7}, {"t": (0, (8,), 32)})
    server.files["m.gguf"] = weights
    server.redirects["/files/old"] = "/files/m.gguf"
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/old"})
    assert job.state == "succeeded", job.error
    version = (await world.model("m")).latest
    assert version is not None
    assert (version.format, version.quantization) == ("gguf", "Q8_0")


def special(name: str, kind: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd"
    return tar_of_member(member)


HOSTILE: dict[str, tuple[bytes, tuple[int, str]]] = {
    "parent": (tar_of({"../../evil.json": b"x"}), (422, "unsafe_files")),
    "absolute": (tar_of({"/tmp/evil.json": b"x"}), (422, "unsafe_files")),
    "hidden parent": (tar_of({"a/../../evil.json": b"x"}), (422, "unsafe_files")),
    "symbolic link": (tar_of({"a.json": b"x"}, links={"b": "/etc/passwd"}), (422, "unsafe_files")),
    "hard link": (special("a.json", tarfile.LNKTYPE), (422, "unsafe_files")),
    "device": (special("a.json", tarfile.CHRTYPE), (422, "unsafe_files")),
    "fifo": (special("a.json", tarfile.FIFOTYPE), (422, "unsafe_files")),
    "case": (tar_of({"a.json": b"x", "A.json": b"y"}), (422, "unsafe_files")),
    "zip parent": (zip_of({"../evil.json": b"x"}), (422, "unsafe_files")),
    "zip absolute": (zip_of({"/evil.json": b"x"}), (422, "unsafe_files")),
    "zip link": (zip_of({"a.json": b"/etc/passwd"}, modes={"a.json": 0o120777}), (422, "unsafe_files")),
    "too many": (tar_of({f"{n}.json": b"" for n in range(10_001)}), (422, "too_many_files")),
    "bomb": (tar_of({"model.safetensors": bytes(80_000_000)}), (413, "archive_bomb")),
    "zip bomb": (zip_of({"model.safetensors": bytes(80_000_000)}), (413, "archive_bomb")),
    "cut tar": (tar_of({"a.json": bytes(100_000)})[:300], (422, "broken_archive")),
    "cut zip": (zip_of({"a.json": b"x" * 100_000})[:-30], (422, "broken_archive")),
    "web page": (b"<html>Log in</html>", (422, "unknown_archive")),
    "nothing": (b"", (422, "unknown_archive")),
    "no weights": (tar_of({"config.json": b"{}"}), (422, "no_weights")),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_hostile_archives_are_refused_and_leave_nothing(
    world: ModelWorld, server: HubServer, case: str, tmp_path: Path
) -> None:
    server.files["x"], expected = HOSTILE[case]
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/x"})
    assert failed(job) == expected, job.error
    assert world.files() == []
    assert not [path for path in tmp_path.rglob("evil*") if path.is_file()]


async def test_oversized_tar_header_is_refused(world: ModelWorld, server: HubServer) -> None:
    member = tarfile.TarInfo("a")
    member.type, member.size = tarfile.XHDTYPE, 2**32
    server.files["x"] = member.tobuf() + bytes(10_240)
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/x"})
    assert failed(job) == (413, "archive_bomb")


async def test_download_beyond_the_quota_is_refused(tmp_path: Path, server: HubServer) -> None:
    server.files["x.tar"] = tar_of({"config.json": bytes(100_000)}, compress=False)
    async with model_world(tmp_path / "a", allowed_networks=LOOPBACK, quota_bytes=50_000) as world:
        job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/x.tar"})
        assert failed(job) == (413, "too_large")
        assert world.files() == []


async def test_wrong_digest_of_a_download_is_refused(
    world: ModelWorld, server: HubServer, files: dict[str, bytes]
) -> None:
    server.files["x"] = tar_of(files)
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/x", "sha256": "0" * 64})
    assert failed(job) == (422, "digest_mismatch")


URLS = [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "http://169.254.169.254/latest",
    "http://10.0.0.1/x", "http://[::1]:1/x", "http://[::ffff:10.0.0.1]/x", "http:\\\\127.0.0.1\\x", "nonsense",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
async def test_addresses_that_are_not_allowed(world: ModelWorld, url: str) -> None:
    assert failed(await world.import_model("m", {"kind": "url", "url": url})) == (400, "url_not_allowed")


@pytest.mark.parametrize("location", ["http://169.254.169.254/", "http://10.0.0.1/", "file:///etc/passwd"])
async def test_redirects_are_checked_at_every_step(world: ModelWorld, server: HubServer, location: str) -> None:
    server.redirects["/files/x"] = "/files/y"
    server.redirects["/files/y"] = location
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/x"})
    assert failed(job) == (400, "url_not_allowed")


async def test_endless_redirects_end(world: ModelWorld, server: HubServer) -> None:
    server.redirects["/files/x"] = "/files/x"
    job = await world.import_model("m", {"kind": "url", "url": f"{server.url}/files/x"})
    assert job.error is not None
    assert "redirects more than 3 times" in job.error["message"]
    assert len(server.seen) == 4


async def test_credentials_are_in_no_row_and_gone_afterwards(tmp_path: Path, server: HubServer) -> None:
    async with model_world(tmp_path / "a", work=False, allowed_networks=LOOPBACK) as world:
        source: dict[str, Any] = {
            "kind": "huggingface",
            "repo": "owner/tiny",
            "endpoint": server.url,
            "token": "hf_secret",
        }
        answer = await world.start_import("m", source)
        assert "hf_secret" not in answer.text
        assert "hf_secret" not in (await world.client.get("/api/v1/jobs")).text
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert any(path.parent.name == "credentials" for path in files)
        assert not [path for path in files if b"hf_secret" in path.read_bytes()]
        server.repo = {"config.json": json.dumps(CONFIG).encode()}
        async with world.importing.running():
            await world.wait(answer.json()["id"])
        sent = {headers.get("authorization") for _, _, headers in server.seen}
        assert sent == {"Bearer hf_secret"}
        assert left_nothing(world)
