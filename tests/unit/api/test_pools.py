"""REST over pools and nodes: purposes, quotas, moving nodes, draining, and what is shown of it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.api import Api, Parts, serve_api
from tests.support.identity import add_project
from tests.support.runner import FakeRunner, make_node_status
from tests.support.services import Platform

from aicp.control.nodes import Nodes
from aicp.control.pools import Pools
from aicp.control.services import Services
from aicp.core.accelerator import Accelerator, AcceleratorMetrics
from aicp.core.event import EventQuery
from aicp.core.identity import Role
from aicp.core.launch import Allocation, DeviceShare
from aicp.core.node import NodeStatus
from aicp.core.quantity import GIB
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.replicas import Replicas


def card(number: int) -> Accelerator:
    return Accelerator(
        vendor="nvidia",
        index=number,
        device_id=f"gpu-{number}",
        product="L20",
        memory_bytes=48 * GIB,
        metrics=AcceleratorMetrics(utilization_percent=40.0, memory_used_bytes=GIB),
    )


def with_cards(node_id: str, count: int) -> NodeStatus:
    status = make_node_status(node_id)
    cards = [card(number) for number in range(count)]
    return status.model_copy(update={"accelerators": [*status.accelerators, *cards], "disk_bytes": 400 * GIB})


@dataclass
class Served:
    """The application and the platform behind it."""

    api: Api
    platform: Platform

    async def call(self, method: str, path: str, body: Any = None, *, role: Role = Role.PLATFORM_ADMIN) -> Any:
        answer = await self.api.client(role).request(method, f"/api/v1{path}", json=body)
        return answer.status_code, answer.json() if answer.content else None

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.call(method, path, body)
        assert status < 300, answer
        return answer

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        status, answer = await self.call(method, path, body)
        assert status >= 400, answer
        return status, answer["error"]["message"], answer["error"].get("hint") or ""

    async def actions(self) -> list[str]:
        async with self.platform.database.snapshot() as tx:
            events = (await Events(tx).list(EventQuery(), audit=True, limit=500)).items
        return [event.action for event in events]


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    built: list[Platform] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        runner = FakeRunner(make_node_status("node_a"), make_node_status("node_b"))
        platform = Platform(parts.database, parts.clock, runner=runner, bell=parts.bell)
        built.append(platform)
        return {
            Services: platform.services,
            Nodes: Nodes(parts.database, parts.clock, parts.bell),
            Pools: Pools(parts.database, parts.clock, parts.bell),
        }

    async with serve_api(use_cases, database=sqlite) as api:
        platform = await built[0].prepare()
        await add_project(sqlite, api.parts.clock, "lab")
        yield Served(api, platform)


async def add_cards(served: Served) -> None:
    served.platform.runner.statuses["node_a"] = with_cards("node_a", 2)
    served.platform.clock.advance(6)
    await served.platform.node_loop.step()


async def slice_of(served: Served, project: str, percent: int, memory: int, service: str = "demo") -> str:
    """A replica that holds a slice of the first card, as a scheduler of slices would place it."""
    now = served.platform.clock.now()
    share = DeviceShare(
        vendor="nvidia",
        device_id="gpu-0",
        index=0,
        compute_percent=percent,
        memory_bytes=memory,
        mechanism="interposer",
        rounding="9 % of compute became 10 %",
    )
    allocation = Allocation(node_id="node_a", devices=[share], cpu_cores=1, memory_bytes=GIB)
    async with served.platform.database.transaction() as tx:
        replica = await Replicas(tx).create(f"svc-{project}", service, project, 1, now)
        await Replicas(tx).place(replica.id, allocation, "node-a", now)
    return replica.id


async def test_a_pool_is_made_changed_and_removed(served: Served):
    window = {"days": [1, 2, 3, 4, 5], "start": "22:00", "end": "06:00", "time_zone": "Asia/Taipei"}
    quota = {"project": "lab", "accelerators": 2}
    made = await served.ok(
        "POST", "/pools", {"name": "shared", "purpose": "windows", "windows": [window], "quotas": [quota]}
    )
    assert (made["purpose"], made["windows"], made["nodes"]) == ("windows", [window], 0)
    assert made["quotas"] == [
        {
            "project": "lab",
            "accelerators": 2,
            "compute_percent": None,
            "memory_bytes": None,
            "lend_percent": 100,
            "borrow_percent": None,
        }
    ]
    changed = await served.ok("PATCH", "/pools/shared", {"purpose": "both", "labels": {"zone": "a"}})
    assert (changed["purpose"], changed["windows"], changed["labels"]) == ("both", [], {"zone": "a"})
    assert len(changed["quotas"]) == 1
    await served.ok("DELETE", "/pools/shared")
    assert (await served.call("GET", "/pools/shared"))[0] == 404
    assert {"pool.create", "pool.update", "pool.delete"} <= set(await served.actions())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        pytest.param("POST", "/pools", {"name": "default"}, 409, "already", id="a name that is taken"),
        pytest.param("POST", "/pools", {"name": "p", "quotas": [{"project": "x"}]}, 422, "no project 'x'", id="nobody"),
        pytest.param("PATCH", "/pools/default", {"purpose": "windows"}, 422, "at least one window", id="no windows"),
        pytest.param("PATCH", "/pools/default", {"add_nodes": ["node-z"]}, 404, "no node 'node-z'", id="no such node"),
        pytest.param("PATCH", "/nodes/node-a", {"pool": "x"}, 404, "no pool 'x'", id="no such pool"),
        pytest.param("DELETE", "/pools/default", None, 409, "default pool stays", id="the default pool"),
        pytest.param("DELETE", "/nodes/node-a", None, 409, "still answers", id="a node that answers"),
        pytest.param("GET", "/nodes/node-z/drain", None, 404, "no node", id="a drain of nothing"),
        pytest.param("GET", "/services/none/waiting", None, 404, "no service 'none'", id="no such service"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    served: Served, method: str, path: str, body: Any, status: int, words: str
):
    found, message, hint = await served.refused(method, path, body)
    assert found == status, message
    assert words in message
    assert hint


async def test_only_who_may_write_nodes_changes_pools_and_drains(served: Served):
    for method, path, body in (
        ("POST", "/pools", {"name": "p"}),
        ("PATCH", "/pools/default", {}),
        ("DELETE", "/pools/p", None),
        ("POST", "/nodes/node-a/drain", None),
        ("GET", "/nodes/node-a/drain", None),
        ("DELETE", "/nodes/node-a", None),
    ):
        status, _ = await served.call(method, path, body, role=Role.DEVELOPER)
        assert status == 403, (method, path)
    assert (await served.call("GET", "/pools/default/view", role=Role.DEVELOPER))[0] == 200


async def test_a_pool_in_use_is_not_removed_and_says_by_what(served: Served):
    await served.ok("POST", "/pools", {"name": "fast"})
    await served.ok("PATCH", "/pools/fast", {"add_nodes": ["node-a"]})
    await served.platform.publish(name="chat", pool="fast")
    _, message, hint = await served.refused("DELETE", "/pools/fast")
    assert message == "Pool 'fast' is in use by node node-a, service chat."
    assert "first" in hint


async def test_a_node_goes_to_another_pool_only_while_it_holds_nothing(served: Served):
    await served.ok("POST", "/pools", {"name": "fast"})
    await served.platform.publish(name="chat")
    await served.platform.passes()
    view = await served.ok("GET", "/pools/default/view")
    [holder] = [node["name"] for node in view["nodes"] if node["devices"][0]["shares"]]
    for method, path, body in (
        ("PATCH", f"/nodes/{holder}", {"pool": "fast"}),
        ("PATCH", "/pools/fast", {"add_nodes": [holder]}),
    ):
        status, message, hint = await served.refused(method, path, body)
        assert (status, message) == (409, f"Node {holder!r} holds replicas of chat, whose place is pool 'default'.")
        assert f"aicp node drain {holder}" in hint
    await served.ok("POST", f"/nodes/{holder}/drain")
    await served.platform.passes()
    assert (await served.ok("GET", f"/nodes/{holder}/drain"))["moves"] == []
    assert (await served.ok("PATCH", f"/nodes/{holder}", {"pool": "fast"}))["pool"] == "fast"
    assert [pool["nodes"] for pool in (await served.ok("GET", "/pools"))["items"]] == [1, 1]


async def test_draining_moves_a_replica_without_a_moment_of_silence(served: Served):
    await served.platform.publish(name="chat")
    await served.platform.passes()
    before = (await served.ok("GET", "/services/chat/replicas"))["items"]
    node = before[0]["node"]
    plan = await served.ok("GET", f"/nodes/{node}/drain")
    other = {"node-a": "node-b", "node-b": "node-a"}[node]
    assert plan["draining"] is False
    assert [(move["service"], move["node"], move["reason"]) for move in plan["moves"]] == [("chat", other, None)]
    assert (await served.ok("POST", f"/nodes/{node}/drain"))["draining"] is True
    for _ in range(12):
        await served.platform.passes(1)
        assert (await served.ok("GET", "/services/chat"))["replicas_ready"] >= 1
        left = (await served.ok("GET", f"/nodes/{node}/drain"))["moves"]
        # while its successor starts, the plan names the place where it does
        assert all(move["node"] == other or move["state"] == "draining" for move in left)
    live = [item for item in (await served.ok("GET", "/services/chat/replicas"))["items"] if item["ended_at"] is None]
    assert [item["node"] for item in live] == [other]
    shown = await served.ok("GET", f"/nodes/{node}")
    assert (shown["state"], shown["draining"]) == ("cordoned", True)
    assert shown["reason"].startswith("Being drained by ")
    free = await served.ok("PATCH", f"/nodes/{node}", {"cordoned": False})
    assert (free["state"], free["draining"], free["reason"]) == ("ready", False, None)
    assert {"node.drain", "node.uncordon"} <= set(await served.actions())


async def test_a_replica_without_another_place_stays_and_its_service_says_why_the_next_waits(served: Served):
    await served.ok("POST", "/pools", {"name": "fast"})
    await served.ok("PATCH", "/nodes/node-b", {"pool": "fast"})
    await served.platform.publish(name="chat")
    await served.platform.passes()
    [move] = (await served.ok("POST", "/nodes/node-a/drain"))["moves"]
    assert move["node"] is None
    assert "it is being drained" in move["reason"]
    await served.platform.passes()
    assert (await served.ok("GET", "/services/chat"))["replicas_ready"] == 1
    [waiting] = (await served.ok("GET", "/services/chat/waiting"))["items"]
    assert waiting["reason"].startswith("Waiting: no node in pool default takes replicas now")
    assert waiting["nodes"] == [{"node": "node-a", "reason": "it is being drained"}]
    view = await served.ok("GET", "/pools/default/view")
    assert [item["replica"] for item in view["waiting"]] == [waiting["replica"]]
    assert view["pool"]["waiting"] == 1


async def test_a_lost_node_is_removed_and_its_replicas_end(served: Served):
    await served.platform.publish(name="chat", replicas=2)
    await served.platform.passes()
    served.platform.runner.silent.add("node_a")
    served.platform.clock.advance(20)
    await served.platform.node_loop.step()
    await served.platform.passes(2)
    status, message, _ = await served.refused("POST", "/nodes/node-a/drain")
    assert (status, message) == (409, "Node 'node-a' does not answer, nothing can be moved from it.")
    await served.ok("DELETE", "/nodes/node-a")
    await served.platform.passes()
    assert (await served.call("GET", "/nodes/node-a"))[0] == 404
    replicas = (await served.ok("GET", "/services/chat/replicas"))["items"]
    ended = [item for item in replicas if item["node"] == "node-a"]
    assert [(item["state"], item["reason"]) for item in ended] == [("stopped", "Its node was removed.")]
    assert "node.remove" in await served.actions()


async def test_labels_and_taints_are_kept_as_they_are_given(served: Served):
    taint = {"key": "gpu", "value": "only", "effect": "no_schedule"}
    node = await served.ok("PATCH", "/nodes/node-a", {"labels": {"zone": "a"}, "taints": [taint]})
    assert (node["labels"], node["taints"]) == ({"zone": "a"}, [taint])
    assert (await served.ok("PATCH", "/nodes/node-a", {"labels": {}}))["taints"] == [taint]
    assert (await served.call("PATCH", "/nodes/node-a", {"labels": {"a b": "c"}}))[0] == 422
    async with served.platform.database.snapshot() as tx:
        [event, *_] = (await Events(tx).list(EventQuery(action="node.update"), audit=True)).items
    assert event.details == {"before": {"labels": {"zone": "a"}}, "after": {"labels": {}}}


async def test_a_pool_s_figures_count_cards_and_slices(served: Served):
    await add_cards(served)
    await slice_of(served, "default", 30, 12 * GIB)
    await slice_of(served, "lab", 10, 4 * GIB, "other")
    pool = await served.ok("GET", "/pools/default")
    assert (pool["accelerators"], pool["accelerators_used"], pool["accelerators_free"]) == (2, 1, 1)
    assert (pool["memory_bytes"], pool["memory_used_bytes"]) == (96 * GIB, 16 * GIB)
    assert (pool["storage_bytes"], pool["storage_used_bytes"]) == (400 * GIB, 300 * GIB)
    assert (pool["vendors"], pool["products"]) == (["nvidia"], {"L20": 2})
    assert (pool["nodes"], pool["nodes_ready"], pool["cpu_cores"], pool["cpu_cores_free"]) == (2, 2, 8, 6)


async def test_the_view_draws_shares_and_hides_whose_they_are_from_others(served: Served):
    await add_cards(served)
    mine = await slice_of(served, "default", 30, 12 * GIB)
    await slice_of(served, "lab", 10, 4 * GIB, "secret")
    status, view = await served.call("GET", "/pools/default/view", role=Role.DEVELOPER)
    assert status == 200
    devices = {device["device_id"]: device for node in view["nodes"] for device in node["devices"]}
    first = devices["gpu-0"]
    assert (first["free_compute_percent"], first["free_memory_bytes"]) == (60, 32 * GIB)
    assert (first["utilization_percent"], first["memory_used_bytes"]) == (40.0, GIB)
    own, other = first["shares"]
    assert (own["replica"], own["service"], own["project"]) == (mine, "demo", "default")
    assert (own["mechanism"], own["compute_percent"], own["rounding"]) == (
        "interposer",
        30,
        "9 % of compute became 10 %",
    )
    assert (other["replica"], other["service"], other["project"], other["compute_percent"]) == (None, None, None, 10)
    assert (devices["gpu-1"]["free_compute_percent"], devices["gpu-1"]["shares"]) == (100, [])
    assert "secret" not in str(view)


async def test_a_quota_refuses_a_publish_in_words_and_shows_how_it_stands(served: Served):
    await served.ok("PATCH", "/pools/default", {"quotas": [{"project": "default", "memory_bytes": 4 * GIB}]})
    await served.platform.publish(name="chat")
    await served.platform.passes()
    body = {"name": "more", "spec": {"model": "demo", "replicas": 4}}
    plan = await served.ok("POST", "/services/plan", body)
    assert plan["fit"]["fits"] is False
    assert "project default may hold 4 GiB of pool default at once" in plan["fit"]["reason"]
    status, message, hint = await served.refused("POST", "/services", body)
    assert status == 422
    assert message.startswith("more does not fit: project default may hold 4 GiB of pool default at once")
    assert "a larger quota" in hint
    status, message, _ = await served.refused("PATCH", "/services/chat", {"replicas": 9})
    assert status == 422
    assert message.startswith("9 replicas of chat are too many: project default may hold 4 GiB")
    [use] = (await served.ok("GET", "/pools/default/view"))["quotas"]
    assert (use["quota"]["project"], use["held"]["accelerators"]) == ("default", 0)
    assert 0 < use["held"]["memory_bytes"] <= 4 * GIB


async def test_a_pool_for_training_takes_no_service_and_says_so(served: Served):
    await served.ok("POST", "/pools", {"name": "night", "purpose": "training"})
    await served.ok("PATCH", "/nodes/node-b", {"pool": "night"})
    status, message, _ = await served.refused("POST", "/services", {"spec": {"model": "demo", "pool": "night"}})
    assert status == 422
    assert "its pool is for training" in message
    assert (await served.ok("GET", "/pools/night"))["closed"] == "its pool is for training"


async def test_within_hours_of_training_a_new_replica_waits_until_they_end(served: Served):
    # the clock of the tests stands on Monday, 12:00 UTC
    window = {"start": "11:00", "end": "12:30"}
    await served.ok("PATCH", "/pools/default", {"purpose": "windows", "windows": [window]})
    await served.ok("POST", "/services", {"name": "chat", "spec": {"model": "demo"}})
    await served.platform.passes(5)
    [waiting] = (await served.ok("GET", "/services/chat/waiting"))["items"]
    assert {item["reason"] for item in waiting["nodes"]} == {"its pool is for training until 12:30 (UTC)"}
    served.platform.clock.advance(1800)
    await served.platform.node_loop.step()
    await served.platform.passes()
    assert (await served.ok("GET", "/services/chat"))["state"] == "ready"
