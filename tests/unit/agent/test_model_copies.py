"""Model copies: whole or absent, shared with the repository where they can be, fetched on where a line was cut."""

from __future__ import annotations

import asyncio
import hashlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.clock import FakeClock

from aicp.agent.model_copies import CopySource, ModelCopies
from aicp.core.clock import SystemClock
from aicp.core.errors import InvalidError, UnavailableError

CONTENT = {"config.json": b"{}", "weights/model.safetensors": bytes(range(256)) * 20_000}
DIGEST = "ab" * 32


def listing(content: dict[str, bytes] = CONTENT) -> list[tuple[str, str, int]]:
    return [(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in content.items()]


def quiet(_: float) -> None: ...


class ArtifactServer:
    """Answers GET /internal/v1/artifacts/{sha256} with ranges; can cut or spoil an answer."""

    def __init__(self) -> None:
        self.blobs = {hashlib.sha256(data).hexdigest(): data for data in CONTENT.values()}
        self.ranges: list[str] = []
        self.cut_after: int | None = None
        self.server: asyncio.Server | None = None

    async def start(self) -> str:
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        sha256 = head.split()[1].rsplit("/", 1)[-1]
        assert "authorization: bearer secret" in head.lower()
        offset = 0
        for line in head.splitlines():
            if line.lower().startswith("range: bytes="):
                self.ranges.append(line[7:])
                offset = int(line.split("=")[1].rstrip("-"))
        body = self.blobs[sha256][offset:]
        status = "206 Partial Content" if offset else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(body[: self.cut_after] if len(body) > 100 else body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[ArtifactServer]:
    server = ArtifactServer()
    yield server
    assert server.server is not None
    server.server.close()


async def copies_from(server: ArtifactServer, tmp_path: Path) -> ModelCopies:
    return ModelCopies(tmp_path / "models", CopySource(await server.start(), "secret"), SystemClock())


async def test_fetches_checks_and_shows_progress(server: ArtifactServer, tmp_path: Path) -> None:
    copies = await copies_from(server, tmp_path)
    seen: list[float] = []
    path = await copies.ensure(DIGEST, listing(), seen.append)
    assert {name: (path / name).read_bytes() for name in CONTENT} == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 3
    assert copies.digests() == [DIGEST]
    assert stat.S_IMODE((path / "config.json").stat().st_mode) == 0o444, "the engine's user must be able to read it"
    assert stat.S_IMODE((path / "weights").stat().st_mode) == 0o755


async def test_goes_on_after_a_cut_line(server: ArtifactServer, tmp_path: Path) -> None:
    copies = await copies_from(server, tmp_path)
    server.cut_after = 3_000_000
    with pytest.raises(UnavailableError):
        await copies.ensure(DIGEST, listing(), quiet)
    assert copies.digests() == [], "half a copy is none"
    server.cut_after = None
    path = await copies.ensure(DIGEST, listing(), quiet)
    assert (path / "weights/model.safetensors").read_bytes() == CONTENT["weights/model.safetensors"]
    assert len(server.ranges) == 1
    assert int(server.ranges[0].split("=")[1].rstrip("-")) > 0


async def test_a_damaged_file_is_refused_and_fetched_anew(server: ArtifactServer, tmp_path: Path) -> None:
    copies = await copies_from(server, tmp_path)
    name, good = next((sha, data) for sha, data in server.blobs.items() if len(data) > 100)
    server.blobs[name] = good[:-1] + b"!"
    with pytest.raises(InvalidError, match="damaged"):
        await copies.ensure(DIGEST, listing(), quiet)
    server.blobs[name] = good
    assert (await copies.ensure(DIGEST, listing(), quiet)).exists()


async def test_shares_bytes_with_the_repository_on_the_same_disk(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    for path, sha256, _ in listing():
        blob = artifacts / "blobs" / "sha256" / sha256[:2] / sha256
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(CONTENT[path])
        blob.chmod(0o600)
    source = CopySource("http://127.0.0.1:1", "secret", artifacts)
    copies = ModelCopies(tmp_path / "models", source, SystemClock())
    path = await copies.ensure(DIGEST, listing(), quiet)
    weights = path / "weights/model.safetensors"
    assert weights.stat().st_nlink == 2
    assert stat.S_IMODE(weights.stat().st_mode) == 0o444


async def test_replicas_that_ask_together_fetch_once(server: ArtifactServer, tmp_path: Path) -> None:
    copies = await copies_from(server, tmp_path)
    first, second = await asyncio.gather(*(copies.ensure(DIGEST, listing(), quiet) for _ in range(2)))
    assert first == second


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
async def test_no_file_leaves_its_directory(server: ArtifactServer, tmp_path: Path, path: str) -> None:
    copies = await copies_from(server, tmp_path)
    with pytest.raises(InvalidError):
        await copies.ensure(DIGEST, [(path, "0" * 64, 1)], quiet)
    with pytest.raises(InvalidError):
        copies.path("../x")


async def test_removal_and_disuse(server: ArtifactServer, tmp_path: Path) -> None:
    clock = FakeClock(SystemClock().now())
    copies = ModelCopies(tmp_path / "models", CopySource(await server.start(), "secret"), clock)
    await copies.ensure(DIGEST, listing(), quiet)
    assert copies.unused_for_a_day(set()) == []
    clock.advance(25 * 3600)
    assert copies.unused_for_a_day({DIGEST}) == []
    assert copies.unused_for_a_day(set()) == [DIGEST]
    await copies.remove(DIGEST)
    await copies.remove(DIGEST)
    assert copies.digests() == []
    assert list((tmp_path / "models").iterdir()) == []
