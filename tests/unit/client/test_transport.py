"""What the typed client sends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from aicp.client.transport import Transport
from aicp.core.model import DirectorySource, ImportRequest
from aicp.core.service import ServiceCreate, ServiceSpec


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        asked = {name: int(value) for name, (value,) in parse_qs(urlsplit(self.path).query).items()}
        rows = list(range(1201))[asked["offset"] :][: asked["limit"]]
        body = json.dumps({"items": rows, "total": 1201}).encode()
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


def test_a_list_is_read_to_its_end(transport: Transport) -> None:
    assert transport.rows("/rows", int) == list(range(1201))
