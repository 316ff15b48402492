"""What the typed client makes of answers."""

from __future__ import annotations

import httpx
import pytest

from aicp.cli.nodes import installed_on
from aicp.client.rest import Client

JOB = {"id": "job_1", "kind": "engine_remove", "title": "t", "state": "queued", "created_at": "2026-01-01T00:00:00Z"}
PLACE = {"engine": "vllm", "version": "1", "variant": "cpu"}
ENGINE = {
    "name": "vllm",
    "title": "vLLM",
    "versions": ["1"],
    "formats": [],
    "environments": [
        {"node": "a", "status": {**PLACE, "state": "installed"}},
        {"node": "b", "status": {**PLACE, "state": "broken"}},
        {"node": "c", "status": {**PLACE, "state": "absent"}},
    ],
}


@pytest.fixture
def client() -> Client:
    """A client of a platform that answers these engines and jobs."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(202, json=JOB)
        return httpx.Response(200, json={"items": [ENGINE], "total": 1})

    client = Client("http://platform")
    client.transport._http = httpx.Client(base_url="http://platform", transport=httpx.MockTransport(answer))
    return client


def test_engines_show_where_they_are_installed(client: Client) -> None:
    assert installed_on(client.engines.list()[0]) == ["1-cpu on a", "1-cpu on b (broken)"]


def test_a_removal_is_a_job(client: Client) -> None:
    assert client.engines.remove("vllm", "1").id == "job_1"
