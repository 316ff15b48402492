"""Prices over REST: who sets and who sees them, and what the gateways get of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.api import Api, Parts, serve_api
from tests.support.identity import add_project, identity_cases
from tests.support.services import Platform

from aicp.core.identity import Role
from aicp.core.model import Visibility
from aicp.core.route import PriceEntry
from aicp.core.service import ServiceCreate, ServiceSpec
from aicp.store.database import Database


@pytest.fixture
async def api(sqlite: Database) -> AsyncIterator[Api]:
    async with serve_api(identity_cases, database=sqlite) as served:
        await add_project(sqlite, served.parts.clock, "default", "other")
        yield served


@dataclass
class Served:
    """The application beside services."""

    api: Api
    platform: Platform

    async def publish(self, name: str, project: str = "default", *, public: bool = False) -> None:
        """A service that has a model and asks for nothing else."""
        visibility = Visibility.PUBLIC if public else Visibility.PROJECT
        spec = ServiceSpec(model="demo", visibility=visibility)
        await self.platform.services.publish(self.platform.caller, ServiceCreate(name=name, project=project, spec=spec))


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    built: list[Platform] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        built.append(Platform(parts.database, parts.clock, bell=parts.bell))
        return {**identity_cases(parts)}

    async with serve_api(use_cases, database=sqlite) as api:
        platform = await built[0].prepare()
        await add_project(sqlite, api.parts.clock, "other")
        yield Served(api, platform)


async def test_a_price_is_set_replaced_and_taken_away(api: Api):
    admin = api.client()
    with api.parts.bell.subscription("price") as rings:
        first = await admin.put("/api/v1/prices/demo", json={"input": 0.1, "output": "0.4"})
        assert (first.status_code, first.json()["input"], first.json()["output"]) == (200, 0.1, 0.4)
        assert (first.json()["cached_input"], first.json()["set_by"]) == (None, "platform-admin")
        again = {"input": 2, "output": 8, "cached_input": 0.000001}
        assert (await admin.put("/api/v1/prices/demo", json=again)).json()["cached_input"] == 0.000001
        found = (await admin.get("/api/v1/prices")).json()
        assert [(price["model"], price["input"]) for price in found["items"]] == [("demo", 2)]
        assert (found["currency"], found["total"]) == ("USD", 1)
        assert (await admin.delete("/api/v1/prices/demo")).status_code == 204
        assert (await admin.delete("/api/v1/prices/demo")).status_code == 404
        assert rings.qsize() == 3
    audit = (await admin.get("/api/v1/audit", params={"kind": "price"})).json()["items"]
    assert [(entry["action"], entry["object_name"]) for entry in audit] == [
        ("price.delete", "demo"),
        ("price.set", "demo"),
        ("price.set", "demo"),
    ]
    assert audit[1]["details"]["before"] == {"input": 0.1, "cached_input": None, "output": 0.4}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("demo", {"input": -1, "output": 1}),
        ("demo", {"input": 1}),
        ("demo", {"input": 0.0000001, "output": 1}),
        ("demo", {"input": 10**9 + 1, "output": 1}),
        ("demo", {"input": "much", "output": 1}),
        ("demo", {"input": "NaN", "output": 1}),
        ("demo", {"input": 1, "output": 1, "currency": "EUR"}),
        ("No Name", {"input": 1, "output": 1}),
    ],
)
async def test_what_is_no_price_is_refused(api: Api, model: str, body: dict[str, Any]):
    assert (await api.client().put(f"/api/v1/prices/{model}", json=body)).status_code == 422
    assert (await api.client().get("/api/v1/prices")).json()["total"] == 0


async def test_only_the_platform_s_own_people_set_prices(api: Api):
    body = {"input": 1, "output": 1}
    for role in (Role.PROJECT_ADMIN, Role.KEY_ADMIN, Role.DEVELOPER):
        assert (await api.client(role).put("/api/v1/prices/demo", json=body)).status_code == 403
        assert (await api.client(role).delete("/api/v1/prices/demo")).status_code == 403


async def test_a_project_sees_prices_of_what_it_may_use_alone(served: Served):
    api = served.api
    for name in ("mine", "theirs", "nobodys", "everybodys"):
        await api.client().put(f"/api/v1/prices/{name}", json={"input": 1, "output": 1})
    await served.publish("mine")
    await served.publish("theirs", "other")
    await served.publish("everybodys", "other", public=True)

    async def seen(role: Role) -> list[str]:
        return [price["model"] for price in (await api.client(role).get("/api/v1/prices")).json()["items"]]

    assert await seen(Role.VIEWER) == ["everybodys", "mine"]
    assert await seen(Role.AUDITOR) == ["everybodys", "mine", "nobodys", "theirs"]


async def test_gateways_get_a_changed_price_at_once(served: Served):
    await served.publish("chat")
    await served.publish("other")
    before = await served.platform.routes.current()
    assert ({route.price for route in before.routes}, before.currency) == ({None}, "USD")
    body = {"input": 2.5, "output": 10, "cached_input": 0}
    waiting = served.platform.routes.wait(before.etag, 30)
    await served.api.client().put("/api/v1/prices/chat", json=body)
    table = await waiting
    assert table is not None
    assert {route.name: route.price for route in table.routes} == {
        "chat": PriceEntry(input=2_500_000, cached_input=0, output=10_000_000),
        "other": None,
    }


async def test_a_budget_is_kept_exactly_and_told_to_gateways_with_what_was_spent(api: Api):
    admin, developer = api.client(), api.client(Role.DEVELOPER)
    body = {"name": "app", "limits": {"budget_per_day": 0.1, "budget_per_month": "12.345678"}}
    key = (await developer.post("/api/v1/keys", json=body)).json()["key"]
    assert (key["limits"]["budget_per_day"], key["limits"]["budget_per_month"]) == (0.1, 12.345678)
    await admin.patch("/api/v1/organizations/default", json={"limits": {"budget_per_month": 1000}})
    for wrong in (0, -1, "much", 0.0000001):
        limits = {"limits": {"budget_per_day": wrong}}
        assert (await developer.patch(f"/api/v1/keys/{key['id']}", json=limits)).status_code == 422, wrong
    record = {
        "request_id": "r1",
        "api_key_id": key["id"],
        "project": "default",
        "service": "demo",
        "endpoint": "/v1/x",
        "started_at": api.parts.clock.now().isoformat(),
        "outcome": "ok",
        "prompt_tokens": 5,
        "cost_micros": 1234,
    }
    batch = {"gateway_id": "gw", "sequence": 1, "records": [record]}
    assert (await api.internal().post("/internal/v1/usage", json=batch)).status_code == 200
    totals = (await api.internal().get("/internal/v1/gateways/gw/totals")).json()
    spent = {"day": 1234, "month": 1234}
    assert totals["spent"] == {f"key:{key['id']}": spent, "organization:default": spent}
    row = (await developer.get("/api/v1/usage/summary")).json()["items"][0]
    assert (row["cost_micros"], row["unpriced"]) == (1234, 0)
    assert (await developer.get("/api/v1/usage")).json()["items"][0]["cost_micros"] == 1234
    head, line = (await developer.get("/api/v1/usage.csv")).text.splitlines()
    assert dict(zip(head.split(","), line.split(","), strict=True))["cost_micros"] == "1234"


async def test_tags_are_kept_found_and_taken_away(api: Api):
    developer = api.client(Role.DEVELOPER)
    body = {"name": "app", "tags": [" team=shop ", "team=shop", "北區"]}
    key = (await developer.post("/api/v1/keys", json=body)).json()["key"]
    assert key["tags"] == ["team=shop", "北區"]
    await developer.post("/api/v1/keys", json={"name": "other", "tags": ["team=shoppers"]})

    async def found(tag: str) -> list[str]:
        return [item["name"] for item in (await developer.get("/api/v1/keys", params={"tag": tag})).json()["items"]]

    assert [await found(tag) for tag in ("team=shop", "北區", "team", "%")] == [["app"], ["app"], [], []]
    path = f"/api/v1/keys/{key['id']}"
    for wrong in ([""], ["a" * 101], ["a\nb"], ["t"] * 21):
        assert (await developer.patch(path, json={"tags": wrong})).status_code == 422, wrong
    assert (await developer.patch(path, json={"tags": None})).json()["tags"] == []
