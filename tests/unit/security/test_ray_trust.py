"""Who is admitted to the platform's Ray."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from aicp.core.ray_member import RayMember
from aicp.security.ray_trust import RayTrust
from aicp.security.tls import client_context, peer_identity, server_context


def admitted(trust: RayTrust, directory: Path, address: str) -> RayMember:
    trust.admit(address).write(directory)
    return RayMember(directory, "10.0.0.1:6379", address)


def handshake(server: RayMember, client: RayMember, name: str) -> str | None:
    ours, theirs = socket.socketpair()
    seen: list[object] = []

    def serve() -> None:
        context = server_context(server.certificate, server.key, server.authority, require_client=True)
        try:
            with context.wrap_socket(theirs, server_side=True) as connection:
                seen.append(peer_identity(connection))
                connection.send(b"x")
        except ssl.SSLError as error:
            seen.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        context = client_context(client.certificate, client.key, client.authority)
        with context.wrap_socket(ours, server_hostname=name) as connection:
            assert connection.recv(1) == b"x"
    finally:
        thread.join()
    assert seen[0] is None or isinstance(seen[0], Exception)
    return None


def test_members_trust_each_other_by_their_address_and_are_nobody_elsewhere(tmp_path: Path):
    now = datetime.now(UTC)
    trust = RayTrust(tmp_path / "authority", now)
    one, two = admitted(trust, tmp_path / "a", "10.0.0.1"), admitted(trust, tmp_path / "b", "node.example.org")
    # a certificate of Ray proves no identity of the platform
    assert handshake(one, two, "10.0.0.1") is None
    assert handshake(two, one, "node.example.org") is None
    with pytest.raises(ssl.SSLError):
        handshake(one, two, "10.0.0.9")


def test_another_authority_is_not_trusted(tmp_path: Path):
    now = datetime.now(UTC)
    one = admitted(RayTrust(tmp_path / "x", now), tmp_path / "a", "10.0.0.1")
    two = admitted(RayTrust(tmp_path / "y", now), tmp_path / "b", "10.0.0.1")
    with pytest.raises(ssl.SSLError):
        handshake(one, two, "10.0.0.1")


def test_authority_and_token_stay_and_are_private(tmp_path: Path):
    now = datetime.now(UTC)
    first = RayTrust(tmp_path / "authority", now).admit("10.0.0.1")
    second = RayTrust(tmp_path / "authority", now).admit("10.0.0.1")
    assert (first.authority, first.token) == (second.authority, second.token)
    assert first.key != second.key
    second.write(tmp_path / "m")
    for path in (*(tmp_path / "authority").iterdir(), *(tmp_path / "m").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_replaced_authority_believes_no_former_member_and_is_believed_by_none(tmp_path: Path):
    now, directory = datetime.now(UTC), tmp_path / "authority"
    former_trust = RayTrust(directory, now)
    former = admitted(former_trust, tmp_path / "a", "10.0.0.1")
    RayTrust.replace(directory, now)
    trust = RayTrust(directory, now)
    present = admitted(trust, tmp_path / "b", "10.0.0.1")
    assert trust.authority == present.authority.read_text() != former.authority.read_text()
    assert present.token.read_text() != former.token.read_text()
    for server, client in ((present, former), (former, present)):
        with pytest.raises(ssl.SSLError):
            handshake(server, client, "10.0.0.1")
    assert handshake(present, admitted(trust, tmp_path / "c", "10.0.0.2"), "10.0.0.1") is None
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".authority.lock"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_many_who_ask_while_it_is_replaced_get_papers_that_fit(tmp_path: Path):
    directory, now = tmp_path / "authority", datetime.now(UTC)
    RayTrust(directory, now)
    problems: list[Exception] = []

    def ask() -> None:
        for _ in range(8):
            try:
                papers = RayTrust(directory, now).admit("10.0.0.1")
                authority = x509.load_pem_x509_certificate(papers.authority.encode())
                x509.load_pem_x509_certificate(papers.certificate.encode()).verify_directly_issued_by(authority)
            except Exception as error:  # whatever it is
                problems.append(error)

    def replace() -> None:
        for _ in range(4):
            RayTrust.replace(directory, now)

    threads = [threading.Thread(target=work) for work in (ask, ask, replace, replace)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
