"""What the typed client sends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from aicp.client.records import Change
from aicp.client.transport import Transport, unreachable
from aicp.core.errors import UnauthorizedError
from aicp.core.model import DirectorySource, ImportRequest
from aicp.core.service import ServiceCreate, ServiceSpec


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A connection to a server that answers what it got."""
    server = HTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    transport = Transport(f"http://127.0.0.1:{server.server_port}")
    yield transport
    transport.close()
    server.shutdown()
    server.server_close()


def test_only_what_was_given_is_sent(transport: Transport) -> None:
    sent = json.loads(transport.send("POST", "/", body=ServiceCreate(spec=ServiceSpec(model="m", users=3))).content)
    assert sent == {"spec": {"model": "m", "users": 3}}


def test_the_kind_of_a_source_is_always_sent(transport: Transport) -> None:
    sent = json.loads(transport.send("POST", "/", body=ImportRequest(source=DirectorySource(path="/m"))).content)
    assert sent == {"source": {"kind": "directory", "path": "/m"}}


def test_what_is_wrong_with_an_address_is_told(transport: Transport) -> None:
    broken = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate")
    cut = httpx.RemoteProtocolError("Server disconnected without sending a response.")
    assert "--ca" in (unreachable("https://platform", broken).hint or "")
    assert "https://" in (unreachable("http://platform", cut).hint or "")
    assert "aicp up" in (unreachable("https://platform", cut).hint or "")
    assert "ConnectError" in unreachable("http://platform", httpx.ConnectError("")).message


def test_lists_are_read_whole() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        rows = [{"kind": "model", "name": str(len(asked))}] * (2 if len(asked) < 3 else 1)
        return httpx.Response(200, json={"items": rows, "total": 5})

    transport = Transport("http://platform")
    transport._http = httpx.Client(base_url="http://platform", transport=httpx.MockTransport(answer))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    rows = transport.every("/api/v1/x", Change, {"since": since, "project": None})
    assert [row.name for row in rows] == ["1", "1", "2", "2", "3"]
    assert asked[1] == "since=2026-01-01T00%3A00%3A00%2B00%3A00&limit=500&offset=2"


def test_a_token_that_has_changed_is_read_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.headers["authorization"] == "Bearer new" else 401, content=request.content)

    tokens = iter(["old", "new", "new"])
    transport = Transport("http://platform", "old", renew=lambda: next(tokens))
    transport._http = httpx.Client(
        base_url="http://platform", transport=httpx.MockTransport(answer), headers=transport._http.headers
    )
    with pytest.raises(UnauthorizedError):
        transport.send("PUT", "/", content=b"x")
    assert transport.send("PUT", "/", content=b"x").content == b"x"
    assert transport.token == "new"
