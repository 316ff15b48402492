"""Routes and providers over REST, and the table that gateways get of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from tests.support.api import Api, Parts, serve_api
from tests.support.services import Platform, make_version

from aicp.control.event_log import EventLog
from aicp.control.projects import Projects
from aicp.control.providers import Outside, Providers
from aicp.control.public_routes import PublicRoutes
from aicp.control.services import Services
from aicp.core.identity import Role
from aicp.core.route import ArmEntry, RouteTable
from aicp.store.database import Database
from aicp.store.projects import Projects as StoredProjects

SECRET = "sk-very-secret"
OUTSIDE: dict[str, Any] = {
    "name": "outside",
    "base_url": "http://127.0.0.1:9/v1/",
    "models": ["big", "small"],
    "credential": SECRET,
}
BIG = {"provider": "outside", "model": "big"}


@dataclass
class Served:
    """The application and the platform behind it."""

    api: Api
    platform: Platform

    async def send(self, method: str, path: str, body: Any = None, role: Role = Role.PLATFORM_ADMIN) -> httpx.Response:
        return await self.api.client(role).request(method, f"/api/v1{path}", json=body)

    async def done(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.send(method, path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, body: Any = None) -> str:
        answer = await self.send(method, path, body)
        assert answer.status_code in (400, 409, 422), answer.text
        return answer.json()["error"]["message"]

    async def table(self) -> RouteTable:
        return await self.platform.routes.current()


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    built: list[Platform] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        shared = (parts.database, parts.clock, parts.bell)
        platform = Platform(parts.database, parts.clock, bell=parts.bell)
        built.append(platform)
        return {
            Services: platform.services,
            Projects: Projects(*shared),
            Providers: Providers(*shared, platform.outside),
            PublicRoutes: PublicRoutes(*shared, platform.outside),
            EventLog: EventLog(parts.database, parts.clock),
        }

    async with serve_api(use_cases, database=sqlite) as api:
        platform = await built[0].prepare(make_version())
        async with sqlite.transaction() as tx:
            await StoredProjects(tx).create("lab", "default", "", api.parts.clock.now())
        yield Served(api, platform)


async def test_a_credential_is_sealed_given_to_gateways_and_shown_to_nobody(served: Served, sqlite: Database) -> None:
    created = await served.done("POST", "/providers", OUTSIDE)
    assert (created["base_url"], created["has_credential"]) == ("http://127.0.0.1:9/v1", True)
    await served.done("POST", "/routes", {"name": "chat", "arms": [BIG]})
    entry = next(entry for entry in (await served.table()).routes if entry.name == "outside:big")
    assert (entry.hidden, entry.upstream_model, entry.targets[0].token) == (True, "big", SECRET)
    assert entry.targets[0].networks == ["127.0.0.1"]
    for path in ("/providers", "/providers/outside", "/routes/chat", "/audit"):
        assert SECRET not in (await served.send("GET", path)).text
    async with sqlite.snapshot() as tx:
        kept = (await tx.session.execute(text("select credential from providers"))).scalar_one()
    assert SECRET.encode() not in kept
    await served.done("PATCH", "/providers/outside", {"credential": None})
    assert (await served.table()).routes[-1].targets[0].token is None


async def test_another_host_does_not_get_the_credential(served: Served) -> None:
    await served.done("POST", "/providers", OUTSIDE)
    moved = {"base_url": "http://127.0.0.1:10/v1"}
    assert "another host" in await served.refused("PATCH", "/providers/outside", moved)
    await served.done("PATCH", "/providers/outside", {"base_url": "http://127.0.0.1:9/v2"})
    await served.done("PATCH", "/providers/outside", moved | {"credential": "other"})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.0.0.1/v1", "private or reserved"),
        ("https://169.254.169.254/v1", "metadata"),
        ("ftp://127.0.0.1/v1", "only http and https"),
        ("https://user:pass@127.0.0.1/v1", "user name"),
        ("http://1.1.1.1/v1", "https only"),
        ("https://127.0.0.1/v1?key=1", "no query"),
        ("http://127.0.0.1:8601/v1", "own gateway"),
    ],
)
async def test_an_address_that_may_not_be_reached_is_refused(served: Served, url: str, words: str) -> None:
    assert words in await served.refused("POST", "/providers", OUTSIDE | {"base_url": url})


async def test_an_offline_platform_sends_nothing_out(served: Served) -> None:
    await served.done("POST", "/providers", OUTSIDE)
    await served.done("POST", "/routes", {"name": "chat", "arms": [BIG]})
    offline: Outside = replace(served.platform.outside, offline=True)
    served.platform.routes._outside = offline
    entry = (await served.table()).routes[-1]
    assert (entry.targets, entry.reason) == ([], "the platform is set to be offline")


async def test_a_header_cannot_be_smuggled_in(served: Served) -> None:
    answer = await served.send("POST", "/providers", OUTSIDE | {"credential": "a\r\nx-evil: 1"})
    assert answer.status_code == 422
    assert "evil" not in answer.text


async def test_who_may_do_what(served: Served) -> None:
    assert (await served.send("POST", "/providers", OUTSIDE, Role.PROJECT_ADMIN)).status_code == 403
    await served.done("POST", "/providers", OUTSIDE)
    assert (await served.send("GET", "/providers", role=Role.DEVELOPER)).json()["total"] == 1
    route = {"name": "chat", "arms": [BIG], "visibility": "project"}
    assert (await served.send("POST", "/routes", route, Role.VIEWER)).status_code == 403
    assert (await served.send("POST", "/routes", route, Role.DEVELOPER)).status_code == 201
    assert (
        await served.send("POST", "/routes", route | {"name": "x", "project": "lab"}, Role.DEVELOPER)
    ).status_code == 404
    stranger = served.api.client(Role.DEVELOPER, project="lab")
    assert (await stranger.get("/api/v1/routes/chat")).status_code == 404
    assert (await stranger.get("/api/v1/routes")).json()["total"] == 0
    await served.done("PATCH", "/routes/chat", {"visibility": "public"})
    assert (await stranger.get("/api/v1/routes/chat")).status_code == 200
    assert (await stranger.delete("/api/v1/routes/chat")).status_code == 404


async def test_a_route_over_a_service_and_a_provider(served: Served) -> None:
    await served.platform.publish("demo")
    await served.done("POST", "/providers", OUTSIDE)
    body = {
        "name": "chat",
        "arms": [{"service": "demo", "weight": 95}, BIG | {"weight": 5}],
        "fallbacks": [{"provider": "outside", "model": "small"}],
    }
    created = await served.done("POST", "/routes", body)
    assert created["ready"] == ["outside:big", "outside:small"]
    await served.platform.passes()
    assert (await served.done("GET", "/routes/chat"))["ready"] == ["demo", "outside:big", "outside:small"]
    table = await served.table()
    [choice] = table.choices
    assert (choice.name, choice.project, choice.sticky) == ("chat", None, "session")
    assert choice.arms == [ArmEntry("demo", 95), ArmEntry("outside:big", 5)]
    assert choice.fallbacks == ["outside:small"]
    changed = await served.done("PATCH", "/routes/chat", {"arms": [{"service": "demo"}], "sticky": "key"})
    assert (changed["fallbacks"], changed["sticky"]) == (created["fallbacks"], "key")
    assert (await served.table()).etag != table.etag
    await served.done("DELETE", "/routes/chat")
    assert (await served.table()).choices == []


async def test_where_a_route_cannot_lead_is_said(served: Served) -> None:
    await served.platform.publish("demo")
    await served.platform.publish("demo", name="inner", visibility="project")
    await served.done("POST", "/providers", OUTSIDE)
    await served.done("POST", "/routes", {"name": "chat", "arms": [{"service": "demo"}]})

    async def refused(arms: list[Any], name: str = "other", **more: Any) -> str:
        return await served.refused("POST", "/routes", {"name": name, "arms": arms, **more})

    demo = {"service": "demo"}
    assert "is a route" in await refused([{"service": "chat"}])
    assert "is a route" in await refused([{"service": "other"}])
    assert "may use" in await refused([{"service": "none"}])
    assert "may use" in await refused([{"service": "inner"}], project="lab")
    assert "no model 'huge'" in await refused([{"provider": "outside", "model": "huge"}])
    assert "no provider" in await refused([{"provider": "none", "model": "big"}])
    assert "twice" in await refused([demo, demo])
    assert "weight above 0" in await refused([demo | {"weight": 0}])
    assert "own fallback" in await refused([demo], fallbacks=[demo])
    assert "already" in await refused([demo], "chat")
    assert "of another project" in await refused([BIG], "demo", project="lab")
    assert "would hide it" in await refused([BIG], "demo", visibility="project")
    answer = await served.send("POST", "/routes", {"name": "other", "arms": [demo | BIG]})
    assert answer.status_code == 422


async def test_a_route_goes_before_the_service_of_its_name_and_no_other_may_take_it(served: Served) -> None:
    await served.platform.publish("demo")
    await served.platform.publish("demo", name="next")
    route = {"name": "demo", "arms": [{"service": "demo", "weight": 9}, {"service": "next"}]}
    await served.done("POST", "/routes", route)
    assert [choice.name for choice in (await served.table()).choices] == ["demo"]
    await served.done("POST", "/routes", {"name": "new", "arms": [{"service": "next"}], "visibility": "project"})
    spec = {"model": "demo"}
    assert "requests to that name" in await served.refused("POST", "/services", {"name": "new", "spec": spec})
    await served.done("POST", "/services", {"name": "new", "spec": spec | {"visibility": "project"}})


async def test_a_name_that_came_to_mean_something_else_is_not_followed(served: Served) -> None:
    """The service is deleted, and another project publishes its own under that name."""
    await served.platform.publish("demo", name="inner", visibility="project")
    await served.done("POST", "/routes", {"name": "chat", "arms": [{"service": "inner"}]})
    async with served.platform.database.transaction() as tx:
        await tx.session.execute(text("update services set project = 'lab'"))
    [choice] = (await served.table()).choices
    assert choice.arms == []


async def test_what_is_in_use_stays(served: Served) -> None:
    await served.done("POST", "/providers", OUTSIDE)
    await served.done("POST", "/routes", {"name": "chat", "project": "lab", "arms": [BIG]})
    assert "'chat' leads to 'big'" in await served.refused("DELETE", "/providers/outside")
    assert "'chat' leads to 'big'" in await served.refused("PATCH", "/providers/outside", {"models": ["small"]})
    assert "1 route(s)" in await served.refused("DELETE", "/projects/lab")
    await served.done("DELETE", "/routes/chat")
    await served.done("DELETE", "/providers/outside")
    entries = (await served.done("GET", "/audit"))["items"]
    actions = {entry["action"] for entry in entries}
    assert {"provider.create", "provider.delete", "route.create", "route.delete"} <= actions
    assert SECRET not in json.dumps(entries)
