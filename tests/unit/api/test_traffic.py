"""Traffic over REST: gateways tell it while somebody looks, and everybody sees their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.api import Api, serve_api
from tests.support.identity import add_project, identity_cases

from aicp.core.identity import Role
from aicp.store.database import Database

SERIES = {
    "service": "demo",
    "priority": "interactive",
    "requests": 120,
    "errors": 6,
    "prompt_tokens": 1200,
    "completion_tokens": 600,
    "cached_tokens": 300,
    "running": 4,
    "waiting": 2,
    "ttft": [10, 0],
}


@pytest.fixture
async def api(sqlite: Database) -> AsyncIterator[Api]:
    async with serve_api(identity_cases, database=sqlite) as served:
        await add_project(sqlite, served.parts.clock, "default", "other")
        yield served


class Gateway:
    """Beats as a gateway does: what somebody looks at is told with the next beat."""

    def __init__(self, api: Api, name: str, scopes: dict[str, Any] | None = None) -> None:
        self.api, self.name, self.scopes = api, name, scopes or {}
        self.watched: dict[str, bool] = {}
        self.told: list[dict[str, bool]] = []

    async def beat(self) -> None:
        body: dict[str, Any] = {"etag": "e1"}
        if self.watched:
            live: dict[str, Any] = {"watched": self.watched, "seconds": 60, "bounds": [0.5]}
            self.told.append(self.watched)
            body["live"] = live | {
                "series": [SERIES] if self.watched["traffic"] else [],
                "routes": [{"route": "demo", "service": "demo", "places": 8, "used": 4}],
                "scopes": self.scopes if self.watched["scopes"] else {},
            }
        path = f"/internal/v1/gateways/{self.name}/heartbeat"
        answer = await self.api.internal().post(path, json=body)
        assert answer.status_code in (200, 204)
        self.watched = answer.json() if answer.status_code == 200 else {}


async def asked(api: Api, gateways: list[Gateway], path: str, role: Role | None = Role.PLATFORM_ADMIN) -> Any:
    """What REST answers while gateways beat."""
    for gateway in gateways:
        await gateway.beat()
    client = api.client() if role is Role.PLATFORM_ADMIN else api.client(role)
    request = asyncio.ensure_future(client.get(path))
    while not request.done():
        for gateway in gateways:
            await gateway.beat()
        await asyncio.sleep(0)
    answer = await request
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_gateways_tell_only_while_somebody_looks_and_are_added_up(api: Api) -> None:
    gateways = [Gateway(api, "gw_1"), Gateway(api, "gw_2")]
    for gateway in gateways:
        await gateway.beat()
        await gateway.beat()
        assert not gateway.told
    found = await asked(api, gateways, "/api/v1/traffic")
    assert found["gateways"] == 2
    (row,) = found["services"]
    assert (row["service"], row["priority"], row["project"]) == ("demo", "interactive", None)
    assert (row["requests_per_second"], row["running"], row["waiting"]) == (4.0, 8, 4)
    assert found["routes"] == [{"route": "demo", "service": "demo", "places": 8, "used": 8}]
    assert not any(told["scopes"] for told in gateways[0].told), "what nobody looks at is not worked out"
    api.parts.clock.advance(11)
    await gateways[0].beat()
    assert gateways[0].watched == {}


async def test_without_gateways_nothing_is_known(api: Api) -> None:
    found = (await api.client().get("/api/v1/traffic")).json()
    assert (found["gateways"], found["services"]) == (0, [])
    await api.client().post("/api/v1/keys", json={"name": "app", "limits": {"rpm": 5}})
    (row,) = (await api.client().get("/api/v1/traffic/limits")).json()["items"]
    assert row["limits"] == [{"limit": "rpm", "used": None, "most": 5}]


async def test_a_project_s_people_do_not_see_traffic_of_others(api: Api) -> None:
    found = await asked(api, [Gateway(api, "gw_1")], "/api/v1/traffic", Role.DEVELOPER)
    assert (found["services"], found["routes"]) == ([], [])


async def test_limits_show_their_use_where_they_are_set(api: Api) -> None:
    client = api.client()
    limits = {"rpm": 60, "tokens_per_day": 1000, "budget_per_month": 2.5}
    key = (await client.post("/api/v1/keys", json={"name": "app", "limits": limits})).json()["key"]
    await client.post("/api/v1/keys", json={"name": "free"})
    foreign = {"name": "foreign", "project": "other", "limits": {"rpm": 1}}
    other = (await client.post("/api/v1/keys", json=foreign)).json()["key"]
    await client.patch("/api/v1/projects/default", json={"limits": {"concurrency": 4}})
    scopes = {
        f"key:{key['id']}": {
            "rpm": {"shared": 0, "own": 6},
            "tokens_per_day": {"shared": 100, "own": 20},
            "budget_per_month": {"shared": 1_000_000, "own": 250_000},
        },
        "project:default": {"concurrency": {"shared": 0, "own": 3}},
    }
    gateways = [Gateway(api, "gw_1", scopes)]
    page = await asked(api, gateways, "/api/v1/traffic/limits")
    assert (page["gateways"], page["currency"]) == (1, "USD")
    found = {row["name"]: row for row in page["items"]}
    assert [(row["scope"], row["name"]) for row in page["items"]] == [
        ("project", "default"),
        ("key", "app"),
        ("key", "foreign"),
    ]
    assert found["default"]["limits"] == [{"limit": "concurrency", "used": 3, "most": 4}]
    assert found["app"]["limits"] == [
        {"limit": "rpm", "used": 6, "most": 60},
        {"limit": "tokens_per_day", "used": 120, "most": 1000},
        {"limit": "budget_per_month", "used": 1.25, "most": 2.5},
    ]
    assert found["foreign"]["limits"] == [{"limit": "rpm", "used": 0, "most": 1}]
    page = await asked(api, gateways, f"/api/v1/traffic/limits?api_key_id={other['id']}")
    assert [row["id"] for row in page["items"]] == [other["id"]]
    page = await asked(api, gateways, "/api/v1/traffic/limits?project=other")
    assert [row["name"] for row in page["items"]] == ["foreign"]
    page = await asked(api, gateways, "/api/v1/traffic/limits", Role.PROJECT_ADMIN)
    assert {row["name"] for row in page["items"]} == {"default", "app"}
    page = await asked(api, gateways, f"/api/v1/traffic/limits?api_key_id={other['id']}", Role.PROJECT_ADMIN)
    assert page["items"] == []
    answer = await api.client(Role.PROJECT_ADMIN).get("/api/v1/traffic/limits?project=other")
    assert answer.status_code == 404
    for path in ("traffic", "traffic/limits"):
        assert (await api.client(None).get(f"/api/v1/{path}")).status_code == 401
