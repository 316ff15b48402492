"""Whom a command believes: --ca, this machine's own certificate, or the system's authorities."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from aicp.cli.connection import Target, local_pin, open_client
from aicp.client.rest import Client
from aicp.core.errors import InvalidError, UnavailableError


class _Version(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"version": "1.2.3", "api": "v1"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for `name`, and its key."""
    folder.mkdir()
    files = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2", "-nodes"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(files[1]), "-out", str(files[0])]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """A platform on this machine whose certificate is made out to another name."""
    monkeypatch.setattr("aicp.cli.connection.LOGIN_FILE", tmp_path / "login.json")
    certificate, key = make_certificate(tmp_path / "tls", "models.example")
    server = HTTPServer(("127.0.0.1", 0), _Version)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "endpoints.json").write_text(
        json.dumps({"console_url": url, "gateway_url": url, "certificate": str(certificate)})
    )
    yield Target(url=None, token=None, data_dir=tmp_path, port=server.server_port)
    server.shutdown()
    server.server_close()


def test_the_platform_on_this_machine_is_known_by_its_certificate(platform: Target) -> None:
    assert platform.local_url() == f"https://127.0.0.1:{platform.port}"
    with open_client(platform, platform.local_url(), None) as client:
        assert client.records.version().version == "1.2.3"


def test_another_certificate_is_not_believed(platform: Target, tmp_path: Path) -> None:
    stranger, _ = make_certificate(tmp_path / "stranger", "models.example")
    for ca, pin in ((None, None), (stranger, None), (None, stranger)):
        with Client(platform.local_url(), ca=ca, pin=pin) as client, pytest.raises(UnavailableError) as caught:
            client.records.version()
        assert "--ca" in (caught.value.hint or "")


def test_a_given_authority_is_held_to_the_name(platform: Target, tmp_path: Path) -> None:
    ca = tmp_path / "tls" / "certificate.pem"
    local = platform.local_url()
    with Client(local, ca=ca) as client, pytest.raises(UnavailableError, match="not valid for"):
        client.records.version()
    with pytest.raises(InvalidError, match="cannot be read"):
        Client(local, ca=tmp_path / "none.pem")


def test_the_pin_is_for_this_machine_only(platform: Target) -> None:
    assert local_pin(platform.data_dir, "https://localhost:1") is not None
    assert local_pin(platform.data_dir, "http://127.0.0.1:1") is None
    assert local_pin(platform.data_dir, "https://models.example") is None


def test_the_port_keeps_the_scheme(tmp_path: Path) -> None:
    assert Target(url=None, token=None, data_dir=tmp_path, port=1).local_url() == "http://127.0.0.1:1"
