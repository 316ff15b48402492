"""REST over services, nodes, pools, engines, metrics and the overview."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.support.api import Api, Parts, serve_api
from tests.support.services import Platform, make_version

from aicp.control.engines import Engines
from aicp.control.logs import Logs
from aicp.control.metrics import Metrics
from aicp.control.nodes import Nodes
from aicp.control.pools import Pools
from aicp.control.services import Services
from aicp.core.accelerator import MetricSample
from aicp.core.identity import Role
from aicp.core.node import EnvironmentState, EnvironmentStatus
from aicp.store.database import Database
from aicp.store.metrics import Metrics as StoredMetrics


@dataclass
class Served:
    """The application and the platform behind it."""

    api: Api
    platform: Platform


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    built: list[Platform] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        platform = Platform(parts.database, parts.clock, bell=parts.bell)
        built.append(platform)
        return {
            Services: platform.services,
            Logs: Logs(parts.database, platform.runner),
            Nodes: Nodes(parts.database, parts.clock, parts.bell),
            Pools: Pools(parts.database, parts.clock, parts.bell),
            Engines: Engines(parts.database, parts.clock, parts.bell, platform.engines),
            Metrics: Metrics(parts.database, parts.clock),
        }

    async with serve_api(use_cases, database=sqlite) as api:
        yield Served(api, await built[0].prepare(make_version(), make_version(version="v2")))


async def publish(served: Served, name: str = "demo", **spec: object) -> dict:
    body = {"name": name, "spec": {"model": "demo", **spec}, "create_key": True}
    answer = await served.api.client(Role.DEVELOPER).post("/api/v1/services", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_plan_publish_look_change_delete(served: Served):
    client = served.api.client(Role.DEVELOPER)
    plan = (await client.post("/api/v1/services/plan", json={"spec": {"model": "demo"}})).json()
    assert plan["fit"]["fits"]
    assert (await client.get("/api/v1/services")).json()["total"] == 0
    published = await publish(served)
    assert published["key"] == "sk-k1-secret"
    texts = ("cli", "curl", "yaml")  # of this answer alone: what publishing it would be
    assert published["plan"] == {**plan, "choices": published["plan"]["choices"], **dict.fromkeys(texts, "")}
    await served.platform.passes()
    service = (await client.get("/api/v1/services/demo")).json()
    assert (service["state"], service["address"]) == ("ready", "http://127.0.0.1:8601/v1")
    [replica] = (await client.get("/api/v1/services/demo/replicas")).json()["items"]
    assert (await client.get(f"/api/v1/replicas/{replica['id']}")).json()["state"] == "ready"
    changed = await client.patch("/api/v1/services/demo", json={"replicas": 2, "description": "for tests"})
    assert (changed.json()["spec"]["replicas"], changed.json()["description"]) == (2, "for tests")
    updated = await client.patch("/api/v1/services/demo", json={"spec": {"model": "demo:v1"}})
    assert updated.json()["generation"] == 3
    assert (await client.post("/api/v1/services/demo/rollback")).status_code == 200
    revisions = (await client.get("/api/v1/services/demo/revisions")).json()["items"]
    assert [item["outcome"] for item in revisions] == ["ready", "rolled_back", "ready", "ready"]
    assert (await client.delete("/api/v1/services/demo")).status_code == 204
    await served.platform.passes()
    assert (await client.get("/api/v1/services/demo")).status_code == 404


async def test_a_change_is_planned_before_it_happens(served: Served):
    await publish(served)
    client = served.api.client(Role.DEVELOPER)
    plan = (await client.post("/api/v1/services/demo/plan", json={"spec": {"model": "demo:v1", "users": 2}})).json()
    assert (plan["version"], plan["users"], plan["fit"]["fits"]) == ("v1", 2, True)
    assert plan["cli"] == "aicp service update demo --model demo:v1 --users 2"
    assert plan["curl"].startswith(f"curl -X PATCH {str(client.base_url).rstrip('/')}/api/v1/services/demo ")
    assert (await client.get("/api/v1/services/demo")).json()["generation"] == 1
    assert (await client.post("/api/v1/services/none/plan", json={})).status_code == 404
    refused = await served.api.client(Role.VIEWER).post("/api/v1/services/demo/plan", json={"replicas": 2})
    assert refused.status_code == 403


async def test_what_does_not_fit_is_a_422_with_numbers(served: Served):
    body = {"spec": {"model": "demo", "users": 900, "context_length": 32768}}
    answer = await served.api.client().post("/api/v1/services", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "does_not_fit")
    assert error["details"]["fit"]["available_bytes"] == 16 * 2**30
    assert error["hint"].startswith("Try: ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"spec": {"model": "nothing"}}, 404, id="unknown model"),
        pytest.param({"spec": {"model": "demo:v9"}}, 404, id="unknown version"),
        pytest.param({"spec": {"model": "demo", "pool": "nowhere"}}, 404, id="unknown pool"),
        pytest.param({"spec": {"model": "demo", "engine": "nothing"}}, 422, id="unknown engine"),
        pytest.param({"spec": {"model": "demo", "engine_version": "9"}}, 422, id="unknown engine version"),
        pytest.param({"spec": {"model": "demo", "replicas": -1}}, 422, id="negative replicas"),
        pytest.param({"spec": {"model": "demo"}, "name": "No Name"}, 422, id="bad name"),
        pytest.param({"spec": {"model": "demo", "surprise": 1}}, 422, id="unknown field"),
        pytest.param({"spec": {"model": "demo"}, "project": "nowhere"}, 404, id="unknown project"),
    ],
)
async def test_bad_input_is_a_clear_refusal(served: Served, body: dict, status: int):
    answer = await served.api.client().post("/api/v1/services", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


async def test_a_name_is_given_once(served: Served):
    await publish(served)
    answer = await served.api.client().post("/api/v1/services", json={"name": "demo", "spec": {"model": "demo"}})
    assert answer.status_code == 409
    assert answer.json()["error"]["details"]["fields"] == {"name": "There is a service 'demo' already."}


async def test_other_projects_neither_see_nor_change_a_projects_service(served: Served):
    await publish(served, visibility="project")
    stranger = served.api.client(Role.DEVELOPER, project="other")
    assert (await stranger.get("/api/v1/services")).json()["items"] == []
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/replicas"), ("GET", "/revisions")):
        body = {"replicas": 0} if method == "PATCH" else None
        answer = await stranger.request(method, f"/api/v1/services/demo{path}", json=body)
        assert answer.status_code == 404, (method, path)
    await publish(served, "shared")
    assert [item["name"] for item in (await stranger.get("/api/v1/services")).json()["items"]] == ["shared"]
    assert (await stranger.delete("/api/v1/services/shared")).status_code in (403, 404)
    viewer = served.api.client(Role.VIEWER)
    assert (await viewer.post("/api/v1/services", json={"spec": {"model": "demo"}})).status_code == 403


async def test_logs_of_living_and_dead_replicas(served: Served):
    await publish(served)
    await served.platform.passes()
    client = served.api.client(Role.DEVELOPER)
    [replica] = served.platform.runner.starts
    assert (await client.get("/api/v1/services/demo/log")).text.splitlines()[0] == f"line 0 of {replica}"
    await client.delete("/api/v1/services/demo")
    await served.platform.passes()
    assert "line 2" in (await client.get(f"/api/v1/replicas/{replica}/log", params={"follow": True})).text
    assert "and more" in (await client.get("/api/v1/services/demo/log?follow=true")).text
    assert (await client.get("/api/v1/services/never/log")).status_code == 404
    assert (await served.api.client(Role.VIEWER).get("/api/v1/services/demo/log")).status_code == 403
    stranger = served.api.client(Role.DEVELOPER, project="other")
    assert (await stranger.get(f"/api/v1/replicas/{replica}/log")).status_code == 404


async def test_nodes_and_pools(served: Served):
    client = served.api.client()
    [node] = (await client.get("/api/v1/nodes")).json()["items"]
    cordoned = await client.patch(f"/api/v1/nodes/{node['id']}", json={"cordoned": True})
    assert (cordoned.json()["state"], cordoned.json()["reason"]) == ("cordoned", "Cordoned by platform-admin.")
    answer = await client.post("/api/v1/services", json={"spec": {"model": "demo"}})
    assert "takes replicas now (node-a: it is cordoned)" in answer.json()["error"]["message"]
    await client.patch("/api/v1/nodes/node-a", json={"cordoned": False})
    [pool] = (await client.get("/api/v1/pools")).json()["items"]
    assert (pool["name"], pool["nodes"], pool["cpu_cores_free"]) == ("default", 1, 4)
    assert (await client.get("/api/v1/pools/none")).json()["error"]["hint"] == "Known: default."
    assert (
        await served.api.client(Role.VIEWER).patch("/api/v1/nodes/node-a", json={"cordoned": True})
    ).status_code == 403


async def test_engines_installed_used_and_not_removed_while_used(served: Served):
    environment = EnvironmentStatus(engine="small", version="2.0", variant="cpu", state=EnvironmentState.INSTALLED)
    statuses = served.platform.runner.statuses
    statuses["node_a"] = statuses["node_a"].model_copy(update={"environments": [environment]})
    await served.platform.node_loop.step()
    await publish(served)
    client = served.api.client()
    [engine] = (await client.get("/api/v1/engines")).json()["items"]
    assert (engine["name"], engine["used_by"]) == ("small", ["demo"])
    [installed] = engine["environments"]
    assert (installed["node"], installed["used_by"]) == ("node-a", ["demo"])
    refused = await client.delete("/api/v1/engines/small/2.0")
    assert (refused.status_code, refused.json()["error"]["details"]) == (409, {"used_by": ["demo"]})
    job = (await client.post("/api/v1/engines/small/install", json={"version": "1.0"})).json()
    assert (job["kind"], job["parameters"]["targets"][0]["variant"]) == ("engine_install", "cpu")
    again = (await client.post("/api/v1/engines/small/install", json={"version": "1.0"})).json()
    assert again["id"] == job["id"]
    assert (await client.post("/api/v1/engines/small/install", json={"version": "9"})).status_code == 422
    assert (await client.post("/api/v1/engines/none/install")).status_code == 404
    assert (await client.delete("/api/v1/engines/small/1.0")).status_code == 404
    await client.delete("/api/v1/services/demo")
    await served.platform.passes()
    removal = await client.delete("/api/v1/engines/small/2.0")
    assert (removal.status_code, removal.json()["kind"]) == (202, "engine_remove")


async def test_every_listed_service_has_its_traffic(served: Served):
    names = [f"s{number:02}" for number in range(12)]
    for name in names:
        await publish(served, name, replicas=0)
    at = served.platform.clock.now()
    async with served.platform.database.transaction() as tx:
        samples = [
            MetricSample(name=metric, labels={"service": name, **labels}, at=at, value=number + offset)
            for number, name in enumerate(names[1:], start=1)
            for metric, labels, offset in (
                ("requests_per_second", {}, 0),
                ("tokens_per_second", {}, 100),
                ("ttft_ms", {"quantile": "p50"}, 500),
                ("ttft_ms", {"quantile": "p99"}, 1000),
            )
        ]
        await StoredMetrics(tx).add(samples)
    client = served.api.client()
    page = (await client.get("/api/v1/services", params={"sort": "-requests", "limit": 10})).json()
    assert (page["total"], [item["name"] for item in page["items"]]) == (12, names[:1:-1])
    assert page["items"][9]["traffic"] == {"requests_per_second": 2, "tokens_per_second": 102, "ttft_ms_p99": 1002}
    last = (await client.get("/api/v1/services", params={"sort": "-ttft", "offset": 11})).json()["items"]
    assert [item["name"] for item in last] == ["s00"]
    assert last[0]["traffic"] == {"requests_per_second": 0, "tokens_per_second": 0, "ttft_ms_p99": None}
    assert (await client.get("/api/v1/services", params={"sort": "-speed"})).status_code == 422
    assert len((await client.get("/api/v1/overview")).json()["services"]) == 8


async def test_overview_and_series(served: Served):
    await publish(served)
    await served.platform.passes()
    client = served.api.client()
    overview = (await client.get("/api/v1/overview")).json()
    assert (overview["accelerators"]["value"], overview["accelerators"]["total"]) == (1, 1)
    assert overview["services"][0]["name"] == "demo"
    series = await client.get("/api/v1/metrics", params={"name": "requests_per_second", "service": "demo"})
    assert series.json() == []
    assert (await client.get("/api/v1/metrics", params={"name": "x", "node": "none"})).status_code == 404
