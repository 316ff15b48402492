"""The platform's own authority: whom its certificates name, and who believes them."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aicp.core.clock import SystemClock
from aicp.core.mutual import CONTROL_NAME, node_name
from aicp.security.authority import (
    CONTROL,
    NODE,
    NODE_DAYS,
    Authority,
    fingerprint_of,
    keep_issued,
    make_key,
    make_request,
    needs_renewal,
)
from aicp.security.tls import client_context, peer_identity, server_context


def _node(authority: Authority, folder: Path, node_id: str) -> tuple[Path, Path]:
    key = make_key()
    name = node_name(node_id)
    pem = authority.sign(make_request(key), NODE + node_id, [name, f"*.{name}"], NODE_DAYS)
    certificate, key_file = folder / f"{node_id}.pem", folder / f"{node_id}.key"
    certificate.write_text(pem)
    key_file.write_text(key)
    return certificate, key_file


def _shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[str | None, str | None]:
    """Whom each side sees: (the server sees, the client sees)."""
    ours, theirs = socket.socketpair()
    seen: list[str | None] = []

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as connection:
                seen.append(peer_identity(connection))
                connection.recv(1)
        except (ssl.SSLError, OSError):
            seen.append(None)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as connection:
            other = peer_identity(connection)
            connection.send(b"x")
    finally:
        ours.close()
        thread.join(5)
    return seen[0], other


def test_both_sides_know_each_other_by_their_certificates(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, SystemClock())
    keep_issued(authority, tmp_path, "control", CONTROL, [CONTROL_NAME])
    node = _node(authority, tmp_path, "node_1")
    ca = tmp_path / "ca.pem"
    server = server_context(*node, ca, require_client=True)
    client = client_context(tmp_path / "control.pem", tmp_path / "control.key", ca)
    assert _shake(server, client, "rep-1.node-1.node.aicp") == (CONTROL, "aicp://node/node_1")
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(server, client, node_name("node_2"))


def test_another_authority_is_not_believed(tmp_path: Path) -> None:
    own, other = (Authority.open(tmp_path / name, SystemClock()) for name in ("own", "other"))
    node = _node(own, tmp_path / "own", "node_1")
    stranger = _node(other, tmp_path / "other", "node_1")
    server = server_context(*stranger, tmp_path / "other" / "ca.pem", require_client=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(server, client_context(*node, tmp_path / "own" / "ca.pem"), node_name("node_1"))


def test_it_is_kept_and_its_key_is_for_its_user_alone(tmp_path: Path) -> None:
    first = Authority.open(tmp_path, SystemClock())
    again = Authority.open(tmp_path, SystemClock())
    assert first.fingerprint == again.fingerprint == fingerprint_of(first.certificate_pem)
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "ca.key").write_text(make_key())
    with pytest.raises(ValueError, match="do not belong together"):
        Authority.open(tmp_path, SystemClock())


@pytest.mark.parametrize("request_pem", ["", "-----BEGIN CERTIFICATE REQUEST-----\nxx\n", make_key()])
def test_what_is_no_request_is_not_signed(tmp_path: Path, request_pem: str) -> None:
    with pytest.raises(ValueError, match="no certificate signing request"):
        Authority.open(tmp_path, SystemClock()).sign(request_pem, CONTROL, [], 1)


def test_a_third_of_its_time_over_a_certificate_is_renewed_and_its_key_stays(tmp_path: Path) -> None:
    clock = _Clock()
    authority = Authority.open(tmp_path, clock)
    assert keep_issued(authority, tmp_path, "gateway", "aicp://gateway", [])
    key, certificate = (tmp_path / "gateway.key").read_text(), tmp_path / "gateway.pem"
    assert not keep_issued(authority, tmp_path, "gateway", "aicp://gateway", [])
    clock.time += timedelta(days=31)
    assert needs_renewal(certificate, clock.now())
    assert keep_issued(authority, tmp_path, "gateway", "aicp://gateway", [])
    assert not needs_renewal(certificate, clock.now())
    assert (tmp_path / "gateway.key").read_text() == key


class _Clock:
    time = datetime(2026, 5, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0
