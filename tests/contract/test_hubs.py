"""What every hub driver has in common."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.hub_server import HubServer, hub_server
from tests.support.model_files import make_model_dir
from tests.support.s3_server import S3Server, s3_server

from aicp.artifacts.uploads import UploadFiles
from aicp.core.errors import AicpError
from aicp.core.model import (
    DirectorySource,
    HuggingFaceSource,
    ImportSource,
    ModelScopeSource,
    S3Source,
    UploadSource,
    UrlSource,
)
from aicp.core.registry import Registry
from aicp.core.upload import UploadFile
from aicp.hubs.base import Hub, HubContext, HubSettings
from aicp.security import connections
from aicp.security.connections import checked_connections

from tests.support.archives import tar_of  # isort: skip

HUBS: Registry[Hub] = Registry("aicp.hubs")


class Heard:
    """Progress that counts, and stops a driver on demand."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.bytes = 0
        self.stop_after = stop_after

    def advance(self, count: int, /) -> None:
        self.bytes += count
        if self.stop_after is not None and self.bytes >= self.stop_after:
            raise Stopped

    def say(self, message: str, /) -> None:
        """Words are for people."""


class Stopped(Exception):
    """The job was canceled."""


class Memory:
    """A sink in memory."""

    def __init__(self) -> None:
        self.content = b""

    @property
    def offset(self) -> int:
        return len(self.content)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.content += bytes(chunk)

    def take(self, path: Path) -> None:
        self.content = path.read_bytes()

    def restart(self) -> None:
        self.content = b""


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with s3_server() as store:
        yield store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model_dir(tmp_path / "tiny", size=300_000)


@pytest.fixture
def context(tmp_path: Path) -> HubContext:
    work = tmp_path / "work"
    work.mkdir()
    settings = HubSettings(tmp_path / "uploads", allowed_networks=("127.0.0.0/8",), retry_seconds=0.01)
    return HubContext(work, Heard(), settings)


@pytest.fixture
def sources(folder: Path, context: HubContext, server: HubServer, store: S3Server) -> Callable[[str], ImportSource]:
    """The same files in a source of each kind; a driver without one here fails the tests."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def upload() -> UploadSource:
        uploads = UploadFiles(context.settings.uploads_dir)
        described = [UploadFile(path=name, size_bytes=len(content)) for name, content in files.items()]
        uploads.create("upl_1", described)
        for number, content in enumerate(files.values()):
            uploads.append("upl_1", number, 0, content, len(content))
        return UploadSource(upload_id="upl_1")

    def url() -> UrlSource:
        server.files["tiny.tar.gz"] = tar_of(files)
        return UrlSource(url=f"{server.url}/files/tiny.tar.gz")

    def s3() -> S3Source:
        return store.put("models", "tiny", files)

    server.repo = files
    kinds: dict[str, Callable[[], ImportSource]] = {
        "directory": lambda: DirectorySource(path=str(folder)),
        "upload": upload,
        "url": url,
        "s3": s3,
        "huggingface": lambda: HuggingFaceSource(repo="owner/tiny", endpoint=server.url),
        "modelscope": lambda: ModelScopeSource(repo="owner/tiny", endpoint=server.url),
    }
    return lambda name: kinds[name]()


@pytest.mark.parametrize("name", HUBS.names())
def test_files_arrive_as_they_are(
    name: str, sources: Callable[[str], ImportSource], folder: Path, context: HubContext
) -> None:
    hub, source = HUBS.get(name), sources(name)
    listing = hub.resolve(source, context)
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {file.path: file.size_bytes for file in listing.files} == {
        key: len(value) for key, value in expected.items()
    }
    assert listing.strict == (name in ("directory", "upload"))
    for file in listing.files:
        if file.sha256 is not None:
            assert file.sha256 == hashlib.sha256(expected[file.path]).hexdigest()
        sink = Memory()
        hub.fetch(source, file, sink, context)
        assert sink.content == expected[file.path]
    assert isinstance(context.progress, Heard)
    assert context.progress.bytes >= sum(len(content) for content in expected.values())


@pytest.mark.parametrize("name", HUBS.names())
def test_second_resolve_gives_the_same_stamps(
    name: str, sources: Callable[[str], ImportSource], context: HubContext
) -> None:
    hub, source = HUBS.get(name), sources(name)
    first, second = hub.resolve(source, context), hub.resolve(source, context)
    assert [(file.path, file.stamp) for file in first.files] == [(file.path, file.stamp) for file in second.files]
    assert first.identity == second.identity


@pytest.mark.parametrize("name", [name for name in HUBS.names() if name not in ("upload", "url")])
def test_cancel_passes_through(name: str, sources: Callable[[str], ImportSource], context: HubContext) -> None:
    hub, source = HUBS.get(name), sources(name)
    listing = hub.resolve(source, context)
    large = max(listing.files, key=lambda file: file.size_bytes)
    stopping = HubContext(context.work_dir, Heard(stop_after=1), context.settings)
    with pytest.raises(Stopped):
        hub.fetch(source, large, Memory(), stopping)


@pytest.mark.parametrize("name", [name for name in HUBS.names() if name in ("directory", "s3", "huggingface")])
def test_half_a_file_is_continued(name: str, sources: Callable[[str], ImportSource], context: HubContext) -> None:
    hub, source = HUBS.get(name), sources(name)
    listing = hub.resolve(source, context)
    large = max(listing.files, key=lambda file: file.size_bytes)
    whole, half = Memory(), Memory()
    hub.fetch(source, large, whole, context)
    half.content = whole.content[:1000]
    before = context.progress.bytes  # pyright: ignore
    hub.fetch(source, large, half, context)
    assert half.content == whole.content
    assert context.progress.bytes - before == large.size_bytes - 1000  # pyright: ignore


@pytest.mark.parametrize("name", [name for name in HUBS.names() if name not in ("directory", "upload")])
def test_nothing_outside_is_reached_when_offline(
    name: str, sources: Callable[[str], ImportSource], context: HubContext, server: HubServer
) -> None:
    source = sources(name)
    server.seen.clear()
    offline = HubSettings(context.settings.uploads_dir, offline=True)
    with pytest.raises(AicpError) as caught:
        HUBS.get(name).resolve(source, HubContext(context.work_dir, Heard(), offline))
    assert caught.value.code == "offline"
    assert server.seen == []


@pytest.mark.parametrize("name", [name for name in HUBS.names() if name not in ("directory", "upload")])
def test_private_endpoints_are_refused_unless_listed(
    name: str, sources: Callable[[str], ImportSource], context: HubContext, server: HubServer
) -> None:
    source = sources(name)
    server.seen.clear()
    settings = HubSettings(context.settings.uploads_dir)
    with pytest.raises(AicpError) as caught:
        HUBS.get(name).resolve(source, HubContext(context.work_dir, Heard(), settings))
    assert (caught.value.status, caught.value.code) == (400, "url_not_allowed")
    assert server.seen == []


MISSING: list[ImportSource] = [
    DirectorySource(path="/nonexistent/folder"),
    UploadSource(upload_id="upl_unknown"),
    UrlSource(url="{server}/files/unknown.tar"),
    S3Source(endpoint="{store}", bucket="unknown", access_key="a", secret_key="b"),
    HuggingFaceSource(repo="owner/unknown", endpoint="{server}"),
    ModelScopeSource(repo="owner/unknown", endpoint="{server}"),
]


@pytest.mark.parametrize("source", MISSING, ids=lambda source: source.kind)
def test_missing_sources_are_not_found(
    source: ImportSource, context: HubContext, server: HubServer, store: S3Server
) -> None:
    text = source.model_dump_json().replace("{server}", server.url).replace("{store}", store.url)
    with pytest.raises(AicpError) as caught:
        HUBS.get(source.kind).resolve(type(source).model_validate_json(text), context)
    assert caught.value.status == 404
    assert caught.value.hint or source.kind == "directory"


@pytest.mark.parametrize("name", ["url", "s3", "huggingface", "modelscope"])
def test_a_name_that_turns_private_after_the_check_is_not_connected_to(
    name: str,
    sources: Callable[[str], ImportSource],
    context: HubContext,
    server: HubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = sources(name).model_dump_json().replace("127.0.0.1", "rebinding.modelscope.cn")
    source = type(sources(name)).model_validate_json(text)
    server.seen.clear()
    looked: list[str] = []

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        looked.append(host)
        address = "93.184.216.34" if len(looked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

    def connect(self: socket.socket, address: Any) -> None:
        raise ConnectionRefusedError(f"nobody is at {address[0]}")

    with checked_connections(()):
        monkeypatch.setattr(connections, "_system", resolve)
    if name == "url":  # connects to the very address that was checked
        monkeypatch.setattr(socket.socket, "connect", connect)
    settings = HubSettings(context.settings.uploads_dir, retry_seconds=0.001)
    with pytest.raises(AicpError) as caught:
        HUBS.get(name).resolve(source, HubContext(context.work_dir, Heard(), settings))
    assert caught.value.code == ("url_not_allowed" if len(looked) > 1 else "unavailable")
    assert server.seen == []
