"""Routes on a real platform: a canary, an outside provider as fallback, and who is counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from tests.support.platform import Platform, eventually

from aicp.core.service import Mode, ServiceCreate, ServiceSpec

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
CREDENTIAL = "sk-outside-credential"
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "From elsewhere"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


class Outside(ThreadingHTTPServer):
    """An OpenAI-compatible provider that notes what it is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, Any]] = []
        super().__init__(("127.0.0.1", 0), OutsideHandler)


class OutsideHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Outside

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], asked))
        body = json.dumps(ANSWER | {"model": asked["model"]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with Outside() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("routes")
    platform = Platform(folder / "data", AICP_IMPORT_ALLOWED_NETWORKS="127.0.0.1").start()
    try:
        platform.import_demo("demo")
        for name in ("stable", "canary"):
            spec = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM)
            platform.client.services.create(ServiceCreate(name=name, spec=spec))
        for name in ("stable", "canary"):
            platform.client.services.wait(name, timeout_seconds=60)
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="module")
def secret(platform: Platform) -> str:
    created = json.loads(platform.cli("key", "create", "caller", "--json").stdout)
    return created["secret"]


def served(platform: Platform) -> Counter[str]:
    found = json.loads(platform.cli("usage", "--requests", "--json").stdout)
    return Counter(record["service"] for record in found)


def ask(platform: Platform, secret: str, session: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}"} | ({"x-session-id": session} if session else {})
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    url = f"{platform.gateway_url}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30)


def test_weights_a_provider_and_a_fallback(platform: Platform, outside: Outside, secret: str) -> None:
    base_url = f"http://127.0.0.1:{outside.server_port}/api/v4"
    platform.cli("route", "create", "chat", "--to", "stable=80", "--to", "canary=20")
    eventually("the gateway knows the route", lambda: ask(platform, secret).status_code == 200, seconds=10)
    answers = {session: ask(platform, secret, session).json()["model"] for session in map(str, range(40))}
    assert set(answers.values()) == {"chat"}
    eventually("usage is counted", lambda: sum(served(platform).values()) >= 41, seconds=20)
    shares = served(platform)
    assert 0 < shares["canary"] < shares["stable"]

    platform.cli(
        "provider", "create", "outside", "--base-url", base_url, "--model", "big", AICP_PROVIDER_CREDENTIAL=CREDENTIAL
    )
    platform.cli("route", "update", "chat", "--to", "stable", "--fallback", "outside:big")
    assert "stable=1" in platform.cli("route", "show", "chat").stdout
    eventually("the route has changed", lambda: ask(platform, secret).status_code == 200, seconds=10)
    platform.cli("service", "stop", "stable")

    def from_elsewhere() -> bool:
        answer = ask(platform, secret)
        assert answer.status_code == 200, answer.text  # nothing is lost while the service stops
        return "From elsewhere" in answer.text

    eventually("the fallback answers", from_elsewhere, seconds=60)
    assert ask(platform, secret).json()["model"] == "chat"
    path, authorization, body = outside.asked[-1]
    assert (path, authorization, body["model"]) == ("/api/v4/chat/completions", f"Bearer {CREDENTIAL}", "big")
    eventually("the provider is counted", lambda: served(platform)["outside:big"] > 0, seconds=20)

    kept = platform.data_dir / "gateway" / "routes.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    holders = [path for path in platform.data_dir.rglob("*") if path.is_file() and CREDENTIAL.encode() in _read(path)]
    assert holders == [kept]
    exported = platform.cli("export").stdout
    assert "kind: route" in exported
    assert CREDENTIAL not in exported


def _read(path: Any) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a socket, or gone by now
        return b""
