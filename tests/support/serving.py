"""A published service in tests, asked as an application would ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.support.platform import Platform, eventually

from aicp.core.replica import Replica
from aicp.core.service import Plan, Published

FIRST_START_SECONDS = 900.0


@dataclass(frozen=True)
class Served:
    """A service and a key for it."""

    platform: Platform
    name: str
    key: str
    plan: Plan

    @property
    def base_url(self) -> str:
        return f"{self.platform.gateway_url}/v1"

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST of JSON, or of the bytes given as `content`, with the key."""
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        with httpx.Client(trust_env=False, timeout=120) as http:
            return http.post(f"{self.base_url}{path}", headers=headers, json=body, **options)

    def ask(self, question: str) -> str:
        """The whole answer to one question, decoded greedily."""
        answer = self.platform.chat(self.key, self.name, question, max_tokens=96)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["message"]["content"]

    def stream(self, question: str) -> list[str]:
        """The pieces of a streamed answer."""
        body = {"model": self.name, "messages": [{"role": "user", "content": question}], "max_tokens": 96}
        pieces: list[str] = []
        headers = {"Authorization": f"Bearer {self.key}"}
        request = {**body, "temperature": 0, "stream": True}
        with (
            httpx.Client(trust_env=False, timeout=120) as http,
            http.stream("POST", f"{self.base_url}/chat/completions", json=request, headers=headers) as answer,
        ):
            assert answer.status_code == 200, answer.read()
            lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
        assert lines.pop() == "[DONE]"
        for line in lines:
            for choice in json.loads(line)["choices"]:
                pieces.append(choice["delta"].get("content") or "")
        return [piece for piece in pieces if piece]

    def replica(self) -> Replica:
        """The replica that is ready."""
        found = [one for one in self.platform.client.services.replicas(self.name) if one.state == "ready"]
        assert found, self.platform.client.services.get(self.name).reason
        return found[0]

    def estimated_bytes(self) -> int:
        """What the engine driver expects at most; the planner's reserve comes on top of it."""
        return sum(part.bytes for part in self.plan.memory if part.name != "reserve")


def import_folder(platform: Platform, name: str, folder: Path) -> None:
    """Imports a folder and waits."""
    client = platform.client
    client.jobs.wait(client.models.import_directory(name, folder).id)


@contextmanager
def serving(platform: Platform, model: str) -> Iterator[Served]:
    """`aicp publish MODEL` with nothing else; the service is removed in the end."""
    client = platform.client
    published: Published = client.services.publish(model, create_key=True)
    assert published.key is not None
    name = published.service.name
    try:
        client.services.wait(name, timeout_seconds=FIRST_START_SECONDS)
        served = Served(platform, name, published.key, published.plan)
        models = {"Authorization": f"Bearer {published.key}"}
        eventually("the gateway knows the key", lambda: _lists(platform, models, name))
        yield served
    finally:
        platform.client.services.delete(name)


def _lists(platform: Platform, headers: dict[str, str], name: str) -> bool:
    answer = httpx.get(f"{platform.gateway_url}/v1/models", headers=headers, trust_env=False)
    return answer.status_code == 200 and name in [model["id"] for model in answer.json()["data"]]
