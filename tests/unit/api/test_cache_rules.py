"""Rules of caches over REST: who sets and sees them, what gateways get of them, and what the caches did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.support.api import Api, Parts, serve_api
from tests.support.identity import add_project, identity_cases
from tests.support.services import Platform, make_version

from aicp.core.identity import Role
from aicp.core.route import CacheEntry
from aicp.core.service import ServiceCreate, ServiceSpec, ServiceUpdate
from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.store.cache_rules import CacheRules
from aicp.store.database import Database
from aicp.store.usage import Usage, UsageFilter

PATH = "/api/v1/cache-rules"


@dataclass
class Served:
    """The application beside services."""

    api: Api
    platform: Platform

    async def set(
        self, model: str = "demo", project: str = "default", role: Role = Role.PLATFORM_ADMIN, **rule: Any
    ) -> httpx.Response:
        return await self.api.client(role).put(f"{PATH}/{project}/{model}", json=rule)

    async def entries(self) -> list[CacheEntry]:
        return (await self.platform.routes.current()).caches


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    built: list[Platform] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        built.append(Platform(parts.database, parts.clock, bell=parts.bell))
        return {**identity_cases(parts)}

    async with serve_api(use_cases, database=sqlite) as api:
        platform = await built[0].prepare(make_version())
        await add_project(sqlite, api.parts.clock, "other")
        yield Served(api, platform)


async def test_a_rule_is_set_cleared_and_deleted(served: Served) -> None:
    admin = served.api.client()
    with served.api.parts.bell.subscription("cache_rule") as rings:
        first = (await served.set()).json()
        assert (first["mode"], first["ttl_seconds"], first["threshold"]) == ("on", 3600, 0.95)
        assert (first["embedding_model"], first["any_temperature"]) == (None, False)
        again = (await served.set(ttl_seconds=60, mode="measure")).json()
        assert again["generation"] == first["generation"]
        cleared = (await admin.post(f"{PATH}/default/demo/invalidate")).json()
        assert cleared["generation"] == first["generation"] + 1
        assert cleared["ttl_seconds"] == 60
        assert (await admin.get(PATH)).json()["items"] == [cleared]
        assert (await admin.delete(f"{PATH}/default/demo")).status_code == 204
        assert (await admin.delete(f"{PATH}/default/demo")).status_code == 404
        assert (await admin.post(f"{PATH}/default/demo/invalidate")).status_code == 404
        assert rings.qsize() == 4
    audit = (await admin.get("/api/v1/audit", params={"kind": "cache_rule"})).json()["items"]
    actions = [(entry["action"], entry["object_name"], entry["project"]) for entry in audit]
    names = ["delete", "invalidate", "set", "set"]
    assert actions == [(f"cache_rule.{name}", "demo", "default") for name in names]
    assert audit[2]["details"]["before"] == {"mode": "on", "ttl_seconds": 3600}


async def test_a_rule_that_comes_again_has_a_generation_of_its_own(served: Served) -> None:
    first = (await served.set()).json()["generation"]
    await served.api.client().delete(f"{PATH}/default/demo")
    served.api.parts.clock.advance(5)
    assert (await served.set()).json()["generation"] > first


@pytest.mark.parametrize(
    "rule",
    [{"threshold": 0.5}, {"threshold": 1.1}, {"ttl_seconds": 0}, {"max_entries": 0}, {"mode": "maybe"}, {"ttl": 5}],
)
async def test_what_is_no_rule_is_refused(served: Served, rule: dict[str, Any]) -> None:
    assert (await served.set(**rule)).status_code == 422
    assert (await served.api.client().get(PATH)).json()["total"] == 0


async def test_an_embedding_model_must_give_the_project_vectors(served: Served) -> None:
    platform = served.platform
    spec = ServiceSpec(model="demo")
    await platform.services.publish(platform.caller, ServiceCreate(name="chat", project="default", spec=spec))
    unknown = await served.set(embedding_model="nothing")
    assert (unknown.status_code, "embedding_model" in unknown.json()["error"]["details"]["fields"]) == (422, True)
    wrong = await served.set(embedding_model="chat")
    assert "type embedding is needed" in wrong.json()["error"]["message"]
    assert (await served.set("No Name")).status_code == 422
    assert (await served.set(project="nowhere")).status_code == 404


async def test_who_may_do_what(served: Served) -> None:
    await served.set(project="other")
    assert (await served.set(role=Role.VIEWER)).status_code == 403
    assert (await served.set(role=Role.DEVELOPER)).status_code == 200
    assert (await served.set(project="other", role=Role.DEVELOPER)).status_code in (403, 404)
    client = served.api.client(Role.DEVELOPER)
    assert [rule["project"] for rule in (await client.get(PATH)).json()["items"]] == ["default"]
    assert (await client.get(PATH, params={"project": "other"})).status_code in (403, 404)
    assert (await client.post(f"{PATH}/other/demo/invalidate")).status_code in (403, 404)
    assert (await client.delete(f"{PATH}/other/demo")).status_code in (403, 404)


async def test_gateways_get_what_is_on_with_a_generation_that_follows_the_model(served: Served) -> None:
    platform = served.platform
    await served.set(ttl_seconds=60, any_temperature=True)
    await served.set("quiet", mode="off")
    before = await served.entries()
    assert [(one.model, one.ttl, one.measure, one.any_temperature) for one in before] == [("demo", 60.0, False, True)]
    await served.set(ttl_seconds=90, mode="measure")
    assert [(one.generation, one.measure) for one in await served.entries()] == [(before[0].generation, True)]
    await served.api.client().post(f"{PATH}/default/demo/invalidate")
    cleared = (await served.entries())[0].generation
    assert cleared != before[0].generation
    spec = ServiceSpec(model="demo")
    await platform.services.publish(platform.caller, ServiceCreate(name="demo", project="default", spec=spec))
    published = (await served.entries())[0].generation
    assert published != cleared
    assert (await served.entries())[0].generation == published
    changed = ServiceUpdate(spec=spec.model_copy(update={"context_length": 4096}))
    await platform.services.update(platform.caller, "demo", changed)
    assert (await served.entries())[0].generation != published


async def test_rules_go_with_their_project(served: Served, sqlite: Database) -> None:
    await served.set(project="other")
    assert (await served.api.client().delete("/api/v1/projects/other")).status_code == 204
    async with sqlite.snapshot() as tx:
        assert await CacheRules(tx).active() == []


async def test_what_caches_did_is_counted_once_and_seen_by_the_project_alone(served: Served, sqlite: Database) -> None:
    at = served.api.parts.clock.now()

    def record(number: int, cache: str | None, project: str = "default", **more: Any) -> UsageRecord:
        values: dict[str, Any] = {
            "request_id": f"req-{number}",
            "api_key_id": "key_a",
            "project": project,
            "service": "demo",
            "endpoint": "/v1/chat/completions",
            "started_at": at,
            "outcome": Outcome.OK,
            "cache": cache,
            "cache_model": None if cache is None else "demo",
        }
        return UsageRecord.model_validate(values | more)

    first = [
        record(1, "miss"),
        record(2, "exact", saved_tokens=10),
        record(3, "semantic", saved_tokens=7),
        record(4, None),
        record(5, "agreed", service="", endpoint="cache"),
        record(6, "disagreed", service="", endpoint="cache"),
        record(7, "gated", service="", endpoint="cache"),
        record(8, "exact", project="other", saved_tokens=5),
    ]
    async with sqlite.transaction() as tx:
        usage = Usage(tx)
        for sequence, batch in ((1, first), (1, first), (2, [record(2, "exact", saved_tokens=10), record(9, "miss")])):
            await usage.accept(UsageBatch(gateway_id="gw", sequence=sequence, records=batch), at)
        requests = (await usage.list(UsageFilter())).items
        total = (await usage.sums(UsageFilter(), []))[0].requests
    assert len(requests) == total == 6
    assert {one.request_id: (one.cache, one.saved_tokens) for one in requests}["req-2"] == ("exact", 10)
    stats = (await served.api.client(Role.VIEWER).get(f"{PATH}/stats")).json()["items"]
    assert stats == [
        {
            "project": "default",
            "model": "demo",
            "lookups": 4,
            "exact_hits": 1,
            "semantic_hits": 1,
            "saved_tokens": 17,
            "agreed": 1,
            "disagreed": 1,
            "gated": 1,
        }
    ]
    assert len((await served.api.client().get(f"{PATH}/stats")).json()["items"]) == 2
    later = {"since": (at + timedelta(hours=2)).isoformat()}
    assert (await served.api.client().get(f"{PATH}/stats", params=later)).json()["items"] == []
