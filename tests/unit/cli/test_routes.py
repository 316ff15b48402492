"""How destinations are written on the command line, and routes as documents."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from aicp.cli.declared_routes import apply_cache_rule, apply_route, cache_rule_documents, route_documents
from aicp.cli.routes import parse_arm, parse_end
from aicp.client.rest import Client
from aicp.core.errors import InvalidError

AT = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "label", "weight"),
    [
        ("demo", "demo", 1),
        ("demo=95", "demo", 95),
        ("outside:gpt-4o", "outside:gpt-4o", 1),
        ("outside:org/m:free=5", "outside:org/m:free", 5),
        ("outside:a=b", "outside:a=b", 1),
    ],
)
def test_an_arm_is_read(text: str, label: str, weight: int) -> None:
    arm = parse_arm(text)
    assert (arm.label, arm.weight) == (label, weight)


@pytest.mark.parametrize("text", ["outside:", "demo=2000"])
def test_what_is_no_arm_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_arm(text)


def test_a_fallback_has_no_weight() -> None:
    assert parse_end("outside:big").model_dump() == {"service": None, "provider": "outside", "model": "big"}


class Known:
    """A platform with one route and one provider."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, Any]] = []
        ends = [{"service": "demo", "weight": 9}, {"provider": "outside", "model": "big", "weight": 1}]
        self.route = {"id": "r", "name": "chat", "project": "default", "visibility": "public", "arms": ends}
        self.route |= {"created_at": AT, "updated_at": AT, "ready": ["demo"]}
        self.provider = {"id": "p", "name": "outside", "base_url": "https://h/v1", "models": ["big"]}
        self.provider |= {"endpoints": ["/v1/embeddings"], "has_credential": True, "created_at": AT, "updated_at": AT}
        self.rule = {"project": "default", "model": "chat", "mode": "measure", "ttl_seconds": 60, "threshold": 0.95}
        self.rule |= {"embedding_model": "embed", "max_entries": 5, "any_temperature": False, "set_at": AT}
        self.client = Client("http://platform")
        transport = httpx.MockTransport(self._answer)
        self.client.transport._http = httpx.Client(base_url="http://platform", transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if request.method != "GET":
            self.changes.append((request.method + " " + path, json.loads(request.content)))
        known = {"/routes/chat": self.route, "/routes": self.route, "/providers": self.provider}
        known |= {"/cache-rules": self.rule, "/cache-rules/default/chat": self.rule}
        found = known.get(path)
        if found is None:
            return httpx.Response(404, json={"error": {"message": "no"}})
        return httpx.Response(200, json=found if path.count("/") > 1 else {"items": [found], "total": 1})


def test_what_is_exported_is_unchanged_when_applied() -> None:
    known = Known()
    documents = list(route_documents(known.client, None))
    assert [document["kind"] for document, _ in documents] == ["provider", "route"]
    assert "credential" not in documents[0][0]
    assert "not exported" in documents[0][1][0]
    assert apply_route(known.client, documents[1][0], wait=False) == "unchanged"
    assert known.changes == []


def test_applied_weights_are_all_that_changes() -> None:
    known = Known()
    document = {"kind": "route", "name": "chat", "arms": [{"service": "demo"}]}
    assert apply_route(known.client, document, wait=False) == "changed"
    [(call, body)] = known.changes
    assert (call, body.keys()) == ("PATCH /routes/chat", {"arms"})


def test_a_cache_rule_is_exported_and_applied_again() -> None:
    known = Known()
    [(document, notes)] = cache_rule_documents(known.client, None)
    assert (document["kind"], document["name"], document["mode"], notes) == ("cache-rule", "chat", "measure", [])
    assert apply_cache_rule(known.client, document, wait=False) == "unchanged"
    assert known.changes == []
    assert apply_cache_rule(known.client, document | {"mode": "on"}, wait=False) == "changed"
    [(call, body)] = known.changes
    assert (call, body["mode"], body["ttl_seconds"]) == ("PUT /cache-rules/default/chat", "on", 60)
