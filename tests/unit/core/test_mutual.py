"""Addresses where both sides prove who they are."""

from __future__ import annotations

import pytest

from aicp.core.mutual import MutualAddress, parse_mutual, replica_name


@pytest.mark.parametrize("host", ["10.0.0.7", "fd00::7", "gpu7.example.com"])
def test_an_address_is_read_as_it_was_written(host: str) -> None:
    address = MutualAddress(replica_name("rep_01XY", "node_1"), host, 7777)
    assert parse_mutual(str(address)) == address
    assert address.name == "rep-01xy.node-1.node.aicp"


@pytest.mark.parametrize("text", ["https://a@b:1", "mtls://b:1", "mtls://a@b", "mtls://a:secret@b:1", "mtls://a@b:x"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        parse_mutual(text)
