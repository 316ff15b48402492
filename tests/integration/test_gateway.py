"""A client that leaves the real engine in the middle of an answer; engines whose processes die of a request."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.control_plane import run_control
from tests.support.gateway_process import entry_of, new_secret, route_to, run_gateway, table_of, until
from tests.support.openai_engine import Engine
from tests.support.platform import eventually
from tests.support.walk import Walk

from aicp.core.usage import Outcome, UsageRecord

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
QUESTION: Any = [{"role": "user", "content": "What is aicp?"}]


# A process that answers on a unix socket and keeps connections; a body with `die` ends it as a crash would.
_MORTAL = """
import os, socketserver, sys
from http.server import BaseHTTPRequestHandler
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if b"die" in body:
            os._exit(9)
        answer = b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def address_string(self):
        return "gateway"
    def log_message(self, *arguments):
        pass
socketserver.ThreadingUnixStreamServer(sys.argv[1], Handler).serve_forever()
"""


@asynccontextmanager
async def mortals(folder: Path, count: int) -> AsyncIterator[list[tuple[Engine, asyncio.subprocess.Process]]]:
    """So many engine processes, each on a socket of its own. (`Engine` only names the address here.)"""
    found: list[tuple[Engine, asyncio.subprocess.Process]] = []
    for number in range(count):
        engine = Engine(folder / f"{number}.sock")
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", _MORTAL, str(engine.path))
        found.append((engine, process))
    try:
        await until(lambda: all(engine.path.exists() for engine, _ in found))
        yield found
    finally:
        for _, process in found:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_a_request_of_which_engines_die_ends_two_processes_of_four(tmp_path: Path) -> None:
    secret = new_secret()
    path, body = "/v1/chat/completions", {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
    async with mortals(tmp_path, 4) as engines:
        table = table_of([route_to([engine for engine, _ in engines])], [entry_of(secret)])
        async with run_control(table) as control, run_gateway(tmp_path / "gateway", control, secret) as gateway:
            for _ in range(3):  # most replicas have idle connections then
                answers = await asyncio.gather(*(gateway.ask(path, body) for _ in range(16)))
                assert {answer.status for answer in answers} == {200}
            answer = await gateway.ask(path, body | {"user": "die"})
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "Two replicas" in answer.json()["error"]["message"]
            for _ in range(8):
                assert (await gateway.ask(path, body)).status == 200
            await until(lambda: sum(process.returncode is not None for _, process in engines) == 2)


@pytest.mark.engine
def test_a_client_that_leaves_is_counted_as_canceled_and_frees_the_engine(walk: Walk) -> None:
    key, model = walk.facts["api_key"], walk.facts["model"]
    eventually("the demo answers", lambda: walk.platform.chat(key, model, "Hi", max_tokens=1).is_success, seconds=300)
    body = {"model": model, "messages": QUESTION, "stream": True, "ignore_eos": True, "max_tokens": 400}
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{walk.facts['api_base']}/chat/completions"
    with httpx.stream("POST", url, json=body, headers=headers, trust_env=False, timeout=60) as answer:
        request_id = answer.headers["x-request-id"]
        next(answer.iter_lines())

    def counted() -> list[UsageRecord]:
        return [row for row in walk.platform.client.records.usage(limit=50) if row.request_id == request_id]

    (row,) = eventually("the row is there", counted)
    assert row.outcome == Outcome.CANCELED
    assert row.duration_ms is not None
    whole = walk.platform.chat(key, model, "Hi", max_tokens=1)
    assert whole.status_code == 200
