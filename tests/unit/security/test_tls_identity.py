"""What processes prove themselves with, while it is renewed and where it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.members import Members


def test_renewed_files_are_read_and_unchanged_ones_are_not(tmp_path: Path) -> None:
    members = Members(tmp_path / "authority")
    gateway = members.gateway()
    before, listening = gateway.client(), gateway.server()
    assert gateway.client() is before
    members.gateway()
    assert gateway.client() is not before
    assert gateway.server() is listening, "what listens with it goes on with the renewed certificate"


def test_without_its_files_nobody_is_connected_to(tmp_path: Path) -> None:
    gateway = Members(tmp_path / "authority").gateway()
    (tmp_path / "authority" / "gateway.key").unlink()
    with pytest.raises(FileNotFoundError):
        gateway.client()
