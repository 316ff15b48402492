"""Fetching a model before an engine starts in a pod."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from aicp.agent import fetch_model
from aicp.agent.model_copies import CopySource

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DIGEST = "ab" * 32
FILES = [("sub/model.bin", SHA256, len(CONTENT))]


@pytest.fixture
def source(tmp_path: Path) -> CopySource:
    """A control plane whose files are at hand, so that nothing has to listen."""
    blob = tmp_path / "artifacts" / "blobs" / "sha256" / SHA256[:2] / SHA256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    return CopySource("http://127.0.0.1:1", "token", artifacts_dir=tmp_path / "artifacts")


async def test_several_pods_of_a_node_fetch_once(tmp_path: Path, source: CopySource) -> None:
    into = tmp_path / "models"
    found = await asyncio.gather(*(fetch_model.fetch(DIGEST, FILES, into, source) for _ in range(3)))
    assert {path.name for path in found} == {DIGEST}
    assert (into / DIGEST / "sub" / "model.bin").read_bytes() == CONTENT
    assert not list(into.glob("*.part"))


def test_a_control_plane_that_is_away_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(fetch_model.TOKEN_VARIABLE, "the-token")
    listed = tmp_path / "files.json"
    listed.write_text(json.dumps(FILES))
    words = ["--digest", DIGEST, "--files", str(listed), "--into", str(tmp_path / "models")]
    assert fetch_model.main([*words, "--control", "http://127.0.0.1:1"]) == 1
    told = capsys.readouterr().err
    assert "could not be fetched from the control plane" in told
    assert "the-token" not in told


def test_a_list_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--digest", DIGEST, "--files", str(tmp_path / "none"), "--into", str(tmp_path / "models")]
    assert fetch_model.main([*words, "--control", "http://127.0.0.1:1"]) == 1
    assert "No such file" in capsys.readouterr().err
