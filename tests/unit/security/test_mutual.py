"""Addresses where both sides prove who they are, and the files that prove it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.members import Members

from aicp.security.mutual import MutualAddress, parse_mutual, replica_name


@pytest.mark.parametrize("host", ["10.0.0.7", "fd00::7", "gpu7.example.com"])
def test_an_address_is_read_as_it_was_written(host: str) -> None:
    address = MutualAddress(replica_name("rep_01XY", "node_1"), host, 7777)
    assert parse_mutual(str(address)) == address
    assert address.name == "rep-01xy.node-1.node.aicp"


@pytest.mark.parametrize("text", ["https://a@b:1", "mtls://b:1", "mtls://a@b", "mtls://a:secret@b:1", "mtls://a@b:x"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_mutual(text)


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
    with pytest.raises(OSError):
        gateway.client()
