"""Folders sent in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest
from tests.support.upload_platform import UploadPlatform, refusal

from aicp.client import uploads as client_uploads
from aicp.client.uploads import read_folder
from aicp.core.errors import AicpError, ConflictError, InvalidError, UnavailableError
from aicp.core.upload import UploadFileCreate


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("cut")


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> UploadPlatform:
    monkeypatch.setattr(client_uploads, "PIECE_BYTES", 4)
    return UploadPlatform()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    return tmp_path


def test_names_are_quoted_and_the_id_is_told_first(platform: UploadPlatform, folder: Path) -> None:
    (folder / "a.bin").rename(folder / "a#b?.txt")
    seen: list[int] = []
    platform.client.uploads.send_directory(folder, started=lambda _: seen.append(len(platform.asked)))
    assert seen == [1]
    assert platform.asked[1] == "PUT /api/v1/uploads/upl_1/files/a%23b%3F.txt?offset=0"


def test_project_and_digests_are_announced_and_answers_are_typed(platform: UploadPlatform, folder: Path) -> None:
    platform.client.uploads.send_directory(folder, project="mine")
    digest = hashlib.sha256(b"0123456789").hexdigest()
    assert platform.announced == [{"path": "a.bin", "size_bytes": 10, "sha256": digest}]
    assert platform.project == "mine"
    assert platform.files == {"a.bin": b"0123456789"}
    assert platform.client.uploads.get("upl_1").files[0].offset == 10
    made = platform.client.uploads.create([UploadFileCreate(path="x", size_bytes=1)])
    assert (made.id, made.state) == ("upl_1", "receiving")


def test_a_cut_connection_goes_on_at_the_platforms_offset(platform: UploadPlatform, folder: Path) -> None:
    def half(request: httpx.Request) -> httpx.Response:
        platform.files["a.bin"] += request.content[:2]
        raise httpx.WriteError("cut")

    platform.faults = [half, broken, lambda _: refusal(503, "unavailable"), lambda _: refusal(502, "bad_gateway")]
    told: list[tuple[int, int]] = []
    platform.client.uploads.send_directory(folder, progress=lambda done, total: told.append((done, total)))
    assert platform.files == {"a.bin": b"0123456789"}
    assert platform.waits == [0.5, 1.0, 2.0, 4.0]
    assert told == [(0, 10), (2, 10), (6, 10), (10, 10)]


@pytest.mark.parametrize("code", ["wrong_offset", "piece_under_way"])
def test_an_offset_that_is_another_is_asked_for(platform: UploadPlatform, folder: Path, code: str) -> None:
    platform.faults = [lambda _: refusal(409, code)]
    platform.client.uploads.send_directory(folder)
    assert platform.files == {"a.bin": b"0123456789"}
    assert "GET /api/v1/uploads/upl_1" in platform.asked


def test_a_platform_that_stays_away_is_told_after_minutes(platform: UploadPlatform, folder: Path) -> None:
    platform.faults = [broken] * 100
    with pytest.raises(UnavailableError):
        platform.client.uploads.send_directory(folder)
    assert 240 < sum(platform.waits) < 400
    assert max(platform.waits) == 15


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (507, "no_space"), (409, "conflict"), (401, "x")])
def test_what_no_try_mends_is_told_at_once(platform: UploadPlatform, folder: Path, status: int, code: str) -> None:
    platform.faults = [lambda _: refusal(status, code)]
    with pytest.raises(AicpError) as caught:
        platform.client.uploads.send_directory(folder)
    assert (caught.value.status, platform.waits) == (status, [])


def test_taking_up_sends_only_the_rest(platform: UploadPlatform, folder: Path) -> None:
    platform.client.uploads.announce(read_folder(folder))
    platform.files["a.bin"] += b"01234"
    platform.client.uploads.send_directory(folder, resume="upl_1")
    assert platform.files == {"a.bin": b"0123456789"}
    assert next(one for one in platform.asked if one.startswith("PUT")).endswith("offset=5")


def test_a_folder_that_is_no_longer_the_same_is_not_taken_up(platform: UploadPlatform, folder: Path) -> None:
    platform.client.uploads.announce(read_folder(folder))
    (folder / "a.bin").write_bytes(b"9876543210")
    (folder / "b.bin").write_bytes(b"")
    with pytest.raises(InvalidError, match=r"different: a.bin, b.bin") as caught:
        platform.client.uploads.send_directory(folder, resume="upl_1")
    assert caught.value.details == {"files": ["a.bin", "b.bin"]}


@pytest.mark.parametrize("state", ["refused", "imported"])
def test_an_upload_that_is_over_is_not_taken_up(platform: UploadPlatform, folder: Path, state: str) -> None:
    platform.client.uploads.announce(read_folder(folder))
    platform.state = state
    with pytest.raises(ConflictError) as caught:
        platform.client.uploads.send_directory(folder, resume="upl_1")
    assert caught.value.code == f"upload_{state}"


def test_a_file_that_changes_while_it_is_sent_is_noticed(platform: UploadPlatform, folder: Path) -> None:
    def change(request: httpx.Request) -> None:
        (folder / "a.bin").write_bytes(b"0123456789abc")

    platform.faults = [change]
    with pytest.raises(InvalidError, match=r"a.bin changed while it was sent"):
        platform.client.uploads.send_directory(folder)


def test_known_files_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_folder(folder)
    (folder / "b.bin").write_bytes(b"new")
    read: list[str] = []
    chunks = client_uploads._chunks
    monkeypatch.setattr(client_uploads, "_chunks", lambda path: (read.append(path.name), chunks(path))[1])
    again = read_folder(folder, {file.path: file for file in first})
    assert [file.path for file in again] == ["a.bin", "b.bin"]
    assert again[0] == first[0]
    assert read == ["b.bin"]
