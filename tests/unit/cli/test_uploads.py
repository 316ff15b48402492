"""How the command line takes an interrupted upload up again."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from tests.support.upload_platform import UploadPlatform, refusal

from aicp.cli import upload_memory
from aicp.cli.upload_memory import UploadMemory
from aicp.cli.uploads import FolderUpload
from aicp.client import uploads as client_uploads
from aicp.client.uploads import read_folder
from aicp.core.errors import NoSpaceError
from aicp.core.upload import Upload


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> UploadPlatform:
    monkeypatch.setattr(client_uploads, "PIECE_BYTES", 4)
    monkeypatch.setattr(upload_memory, "MEMORY", tmp_path / "memory")
    return UploadPlatform()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"0123456789")
    return folder


def interrupted(platform: UploadPlatform, folder: Path) -> None:
    """Sends the first piece and dies at the second."""
    platform.faults = [lambda _: None, lambda _: refusal(507, "no_space")]
    with pytest.raises(NoSpaceError):
        FolderUpload(platform.client, folder, project="default").send()
    assert platform.files == {"a.bin": b"0123"}
    platform.asked.clear()


def test_the_same_folder_goes_on_by_itself(platform: UploadPlatform, folder: Path) -> None:
    interrupted(platform, folder)
    sending = FolderUpload(platform.client, folder, project="default")
    assert sending.send() == "upl_1"
    assert [one for one in platform.asked if not one.startswith("GET")] == [
        f"PUT /api/v1/uploads/upl_1/files/a.bin?offset={offset}" for offset in (4, 8)
    ]
    # a finished one is imported again without a byte sent, until its import has gone well
    assert FolderUpload(platform.client, folder, project="default").send() == "upl_1"
    sending.forget()
    platform.asked.clear()
    FolderUpload(platform.client, folder, project="default").send()
    assert platform.asked[0].startswith("POST")


@pytest.mark.parametrize("project", ["default", "other"])
def test_another_project_is_another_upload(platform: UploadPlatform, folder: Path, project: str) -> None:
    interrupted(platform, folder)
    FolderUpload(platform.client, folder, project=project).send()
    assert any(one.startswith("POST") for one in platform.asked) == (project == "other")


@pytest.mark.parametrize("same_size", [True, False])
def test_a_changed_folder_is_sent_anew(platform: UploadPlatform, folder: Path, same_size: bool) -> None:
    interrupted(platform, folder)
    (folder / "a.bin").write_bytes(b"9876543210" if same_size else b"x")
    FolderUpload(platform.client, folder, project="default").send()
    assert platform.deleted == 1
    assert platform.files == {"a.bin": (folder / "a.bin").read_bytes()}


@pytest.mark.parametrize(("state", "deleted"), [("refused", 1), ("imported", 0)])
def test_an_upload_that_is_over_is_sent_anew(
    platform: UploadPlatform, folder: Path, state: str, deleted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(platform, folder)
    platform.state = state
    announce = platform.client.uploads.announce

    def fresh(*args: Any, **fields: Any) -> Upload:
        platform.state = "receiving"
        return announce(*args, **fields)

    monkeypatch.setattr(platform.client.uploads, "announce", fresh)
    FolderUpload(platform.client, folder, project="default").send()
    assert platform.deleted == deleted
    assert platform.files == {"a.bin": b"0123456789"}


def test_an_upload_that_expired_is_sent_anew(platform: UploadPlatform, folder: Path) -> None:
    interrupted(platform, folder)
    platform.faults = [lambda _: refusal(404, "not_found")]
    FolderUpload(platform.client, folder, project="default").send()
    assert platform.files == {"a.bin": b"0123456789"}


def test_only_the_user_reads_the_memory_and_a_broken_one_is_none(tmp_path: Path, platform: UploadPlatform) -> None:
    (tmp_path / "a").write_text("x")
    memory = UploadMemory("http://platform", "default", tmp_path)
    assert memory.recall() is None
    memory.remember("upl_1", read_folder(tmp_path))
    (file,) = upload_memory.MEMORY.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = memory.recall()
    assert found is not None
    assert found.upload_id == "upl_1"
    assert found.files[0].path == "a"
    file.write_text("{")
    assert memory.recall() is None
    memory.forget()
    memory.forget()
