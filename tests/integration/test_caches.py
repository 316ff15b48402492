"""A cache from the command line to answers without an engine, on a real platform with vectors from its own route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any

import httpx
import pytest
from tests.support.platform import Platform, eventually

from aicp.core.service import Mode, ServiceCreate, ServiceSpec

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
QUESTION, LIKE, OPPOSITE = "How do I enable it?", "how do i enable it", "How do I disable it?"


class Vectors(BaseHTTPRequestHandler):
    """An embedding model that takes everything for nearly the same."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data = [{"index": n, "embedding": [1.0, len(text) / 1000]} for n, text in enumerate(asked["input"])]
        body = json.dumps({"data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    networks = {"AICP_IMPORT_ALLOWED_NETWORKS": "127.0.0.1"}
    platform = Platform(tmp_path_factory.mktemp("caches") / "data", **networks).start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vectors)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        platform.import_demo("demo")
        spec = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM)
        platform.client.services.create(ServiceCreate(spec=spec))
        platform.client.services.wait("demo", timeout_seconds=60)
        url = f"http://127.0.0.1:{server.server_port}/v1"
        platform.cli(
            "provider", "create", "vectors", "--base-url", url, "--model", "small", "--endpoint", "/v1/embeddings"
        )
        platform.cli("route", "create", "embed", "--to", "vectors:small")
        yield platform
    finally:
        server.shutdown()
        platform.stop()


@pytest.fixture(scope="module")
def secret(platform: Platform) -> str:
    return str(json.loads(platform.cli("key", "create", "caller", "--json").stdout)["secret"])


def ask(platform: Platform, secret: str, text: str = QUESTION) -> httpx.Response:
    return platform.chat(secret, "demo", text, max_tokens=4)


def how(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers.get("x-aicp-cache", "none")


def stats(platform: Platform) -> dict[str, int]:
    found = json.loads(platform.cli("cache", "stats", "--project", "default", "--json").stdout)
    return found[0] if found else {}


def test_a_like_question_is_answered_counted_and_forgotten(platform: Platform, secret: str) -> None:
    eventually("the gateway knows the key", lambda: ask(platform, secret).status_code == 200, seconds=10)
    assert how(ask(platform, secret)) == "none"
    platform.cli("cache", "set", "demo", "--embedding-model", "embed")
    eventually("the rule is in force", lambda: how(ask(platform, secret)) == "exact", seconds=10)
    # asked another way each time: what was a miss is the very same request when it comes again
    ways = (LIKE + "?" * number for number in count())
    eventually("a like question is found", lambda: how(ask(platform, secret, next(ways))) == "semantic", seconds=20)
    assert how(ask(platform, secret, OPPOSITE)) == "miss"
    eventually("it is counted", lambda: stats(platform).get("semantic_hits", 0) > 0, seconds=20)
    counted = stats(platform)
    assert counted["exact_hits"] >= 1
    assert counted["saved_tokens"] > 0
    assert "kind: cache-rule" in platform.cli("export").stdout
    platform.cli("cache", "clear", "demo", "--yes")
    eventually("it is empty", lambda: how(ask(platform, secret)) == "miss", seconds=10)
    assert how(ask(platform, secret)) == "exact"
    platform.cli("cache", "delete", "demo", "--yes")
    eventually("nothing is kept", lambda: how(ask(platform, secret)) == "none", seconds=10)
