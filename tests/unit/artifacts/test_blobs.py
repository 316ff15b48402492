"""Blobs exist whole and verified, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.artifacts.blobs import Blobs
from aicp.core.errors import InvalidError, NoSpaceError, NotFoundError


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "artifacts")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def arrive(blobs: Blobs, *chunks: bytes, size_bytes: int | None = None, sha256: str | None = None) -> str:
    with blobs.partial("a", size_bytes=size_bytes, sha256=sha256) as partial:
        for chunk in chunks:
            partial.write(chunk)
        return blobs.keep(partial)


def interrupt(blobs: Blobs, *chunks: bytes, size_bytes: int | None = None, sha256: str | None = None) -> None:
    with suppress(RuntimeError), blobs.partial("a", size_bytes=size_bytes, sha256=sha256) as partial:
        for chunk in chunks:
            partial.write(chunk)
        raise RuntimeError


def leftovers(blobs: Blobs) -> list[str]:
    return [path.name for path in (blobs.root / "partial").iterdir()]


def test_written_bytes_come_back_under_their_digest(blobs: Blobs) -> None:
    content = os.urandom(9_000_000)
    with blobs.partial("a", size_bytes=len(content)) as partial:
        for start in range(0, len(content), 1_000_000):
            partial.write(content[start : start + 1_000_000])
        digest = blobs.keep(partial)
    assert digest == sha(content)
    assert blobs.open(digest).read() == content
    assert blobs.verify(digest)
    assert leftovers(blobs) == []


def test_interrupted_arrival_continues(blobs: Blobs) -> None:
    interrupt(blobs, b"abc", size_bytes=6)
    with blobs.partial("a", size_bytes=6) as partial:
        assert partial.offset == 3
        partial.write(b"def")
        assert blobs.keep(partial) == sha(b"abcdef")


def test_continued_file_that_was_damaged_is_refused(blobs: Blobs) -> None:
    interrupt(blobs, b"abX", size_bytes=6, sha256=sha(b"abcdef"))
    with pytest.raises(InvalidError, match="SHA-256"):
        arrive(blobs, b"def", size_bytes=6, sha256=sha(b"abcdef"))
    assert leftovers(blobs) == []
    assert list(blobs.digests()) == []


def test_disk_that_gives_back_other_bytes_is_noticed(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, offset: pwrite(handle, bytes(len(data)), offset))
    with pytest.raises(InvalidError, match="what was written"):
        arrive(blobs, b"good")
    assert list(blobs.digests()) == []


@pytest.mark.parametrize("content", [b"", b"ab"])
def test_short_source_is_refused_and_kept_for_later(blobs: Blobs, content: bytes) -> None:
    with pytest.raises(InvalidError, match="ended after"):
        arrive(blobs, content, size_bytes=3)
    with blobs.partial("a", size_bytes=3) as partial:
        assert partial.offset == len(content)


def test_too_much_is_refused(blobs: Blobs) -> None:
    with pytest.raises(InvalidError, match="more than"):
        arrive(blobs, b"abcd", size_bytes=3)


def test_same_content_at_once_is_kept_once(blobs: Blobs) -> None:
    content = os.urandom(3_000_000)
    digests: list[str] = []
    gate = threading.Barrier(4)

    def add() -> None:
        with blobs.partial("same", size_bytes=len(content)) as partial:
            gate.wait()
            partial.restart()
            for start in range(0, len(content), 100_000):
                partial.write(content[start : start + 100_000])
            digests.append(blobs.keep(partial))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [sha(content)] * 4
    assert list(blobs.digests()) == [sha(content)]
    assert leftovers(blobs) == []


def test_taken_file_is_linked_and_verified(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "artifacts" / "upload"
    source.write_bytes(b"content")
    with blobs.partial("a", size_bytes=7) as partial:
        partial.take(source)
        digest = blobs.keep(partial)
    assert digest == sha(b"content")
    assert source.exists()


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    # a limit on the size of files fails writes like a full disk does, without one
    code = """
import resource, signal, sys
from pathlib import Path
from aicp.artifacts.blobs import Blobs
from aicp.core.errors import NoSpaceError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
blobs = Blobs(Path(sys.argv[1]))
try:
    with blobs.partial("a") as partial:
        for _ in range(10):
            partial.write(bytes(50_000))
except NoSpaceError as error:
    print(error.status, [p.name for p in Path(sys.argv[1]).rglob("*") if p.is_file()])
"""
    answer = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, timeout=60)
    assert answer.stdout.strip() == "507 []", answer.stderr


def test_kill_leaves_no_blob_and_the_rest_continues(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from aicp.artifacts.blobs import Blobs
with Blobs(Path(sys.argv[1])).partial("a", size_bytes=8) as partial:
    partial.write(b"1234")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    answer = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], timeout=60, check=False)
    assert answer.returncode == -9
    blobs = Blobs(tmp_path / "a")
    assert list(blobs.digests()) == []
    with blobs.partial("a", size_bytes=8) as partial:
        assert partial.offset == 4
        partial.write(b"5678")
        assert blobs.keep(partial) == sha(b"12345678")


async def test_collection_keeps_what_is_referenced_pinned_or_just_arrived(blobs: Blobs) -> None:
    free, referenced, pinned = (blobs.add_bytes(text) for text in (b"free", b"referenced", b"pinned"))
    with blobs.pinned() as pin:
        assert pin(pinned)
        async with blobs.collection() as remove:
            late = blobs.add_bytes(b"late")
            freed = remove([free, referenced, pinned, late], {referenced})
    assert freed == len(b"free")
    assert set(blobs.digests()) == {referenced, pinned, late}


async def test_unpinned_during_a_collection_is_still_kept(blobs: Blobs) -> None:
    digest = blobs.add_bytes(b"committed meanwhile")
    with blobs.pinned() as pin:
        pin(digest)
        collection = blobs.collection()
        remove = await collection.__aenter__()
    assert remove([digest], set()) == 0
    await collection.__aexit__(None, None, None)


async def test_two_collections_wait_for_each_other_and_hold_up_nothing_else(blobs: Blobs) -> None:
    digest = blobs.add_bytes(b"free")

    async def collect() -> int:
        async with blobs.collection() as remove:
            await asyncio.sleep(0)
            return remove([digest], set())

    assert sorted(await asyncio.wait_for(asyncio.gather(collect(), collect()), 5)) == [0, len(b"free")]


def test_abandoned_arrivals_are_forgotten(blobs: Blobs) -> None:
    interrupt(blobs, b"abc")
    assert blobs.forget_partials(older_than=0) == 0
    assert blobs.forget_partials(older_than=2**40) == 1


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "g" * 64])
def test_only_digests_name_files(blobs: Blobs, name: str) -> None:
    with pytest.raises(NotFoundError):
        blobs.path(name)


def test_space_is_asked_for_before(blobs: Blobs) -> None:
    with pytest.raises(NoSpaceError):
        blobs.check_space(2**60)


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_any_split_gives_the_same_digest(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    blobs = Blobs(tmp_path_factory.mktemp("any"))
    with blobs.partial("a") as partial:
        for chunk in chunks:
            partial.write(chunk)
        assert blobs.keep(partial) == sha(b"".join(chunks))
