"""As whom a command goes, and whom it believes: --ca, this machine's own certificate, or the system's authorities."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from aicp.cli import app as cli
from aicp.cli.connection import Credential, Target, find_credential, local_pin, open_client
from aicp.client.rest import Client
from aicp.core.errors import InvalidError, UnauthorizedError, UnavailableError


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


LOCAL, REMOTE = "http://127.0.0.1:8600", "http://models.example:8600"
SaveLogin = Callable[..., None]


@pytest.fixture
def owned(tmp_path: Path) -> Target:
    """The options of somebody who owns the platform on this machine."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "endpoints.json").write_text(json.dumps({"console_url": LOCAL}))
    (tmp_path / "run" / "admin.token").write_text("owner")
    return Target(url=None, token=None, data_dir=tmp_path, port=None)


@pytest.fixture
def save_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SaveLogin:
    """Does as `aicp login` does."""
    file = tmp_path / "login.json"
    monkeypatch.setattr("aicp.cli.connection.LOGIN_FILE", file)
    monkeypatch.setattr("aicp.cli.identity.LOGIN_FILE", file)

    def save(url: str, expires_at: str = "2999-01-01T00:00:00+00:00") -> None:
        file.write_text(json.dumps({"url": url, "token": "login", "expires_at": expires_at}))

    return save


def test_the_owner_needs_no_login(owned: Target, save_login: SaveLogin) -> None:
    assert find_credential(owned) == Credential(LOCAL, "owner", f"the owner's token in {owned.data_dir / 'run'}")


@pytest.mark.parametrize("address", [LOCAL, "http://localhost:8600"])
def test_a_login_at_the_same_platform_goes_before_the_owners_token(
    owned: Target, save_login: SaveLogin, address: str
) -> None:
    save_login(address)
    found = find_credential(owned)
    assert (found.url, found.token) == (LOCAL, "login")
    assert "aicp login" in found.source


def test_a_given_token_goes_before_a_login(owned: Target, save_login: SaveLogin) -> None:
    save_login(LOCAL)
    assert find_credential(replace(owned, token="given", token_from="AICP_TOKEN")) == Credential(
        LOCAL, "given", "AICP_TOKEN"
    )


def test_a_login_elsewhere_is_for_there_only(owned: Target, save_login: SaveLogin) -> None:
    save_login(REMOTE)
    assert find_credential(owned).token == "owner"
    assert find_credential(replace(owned, url=f"{REMOTE}/")).token == "login"
    assert find_credential(replace(owned, url="http://other.example")).token is None
    (owned.data_dir / "run" / "admin.token").unlink()
    assert find_credential(owned).url == REMOTE


def test_an_ended_login_says_how_to_go_on(owned: Target, save_login: SaveLogin) -> None:
    save_login(LOCAL, "2026-01-01T00:00:00+00:00")
    with pytest.raises(UnauthorizedError, match="has ended") as caught:
        find_credential(owned)
    assert "aicp logout" in (caught.value.hint or "")


def test_logout_forgets_a_login_that_nobody_answers_for(
    owned: Target, save_login: SaveLogin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_login("http://127.0.0.1:1")
    monkeypatch.setattr("sys.argv", ["aicp", "--data-dir", str(owned.data_dir), "logout"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert not (owned.data_dir / "login.json").exists()
    assert "ends by itself at 2999" in " ".join(capsys.readouterr().err.split())


def test_a_login_file_of_something_else_is_no_login(owned: Target, save_login: SaveLogin) -> None:
    save_login(LOCAL)
    for text in ("[]", "{}", "{"):
        (owned.data_dir / "login.json").write_text(text)
        assert find_credential(owned).token == "owner"
