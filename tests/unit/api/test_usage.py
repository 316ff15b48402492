"""Usage over REST, from the gateway's batch to the export."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.api import Api, serve_api
from tests.support.identity import add_project, identity_cases

from aicp.core.identity import Role
from aicp.store.database import Database


@pytest.fixture
async def api(sqlite: Database) -> AsyncIterator[Api]:
    async with serve_api(identity_cases, database=sqlite) as served:
        await add_project(sqlite, served.parts.clock, "default", "other")
        yield served


def record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": f"req-{number}",
        "api_key_id": "key_a",
        "project": "default",
        "service": "demo",
        "endpoint": "/v1/chat/completions",
        "started_at": f"2026-01-05T12:00:{number:02}Z",
        "outcome": "ok",
        "ttft_ms": 50,
        "prompt_tokens": 3,
        "completion_tokens": 4,
        **changes,
    }


async def ship(api: Api, sequence: int, *records: dict[str, Any]) -> int:
    body = {"gateway_id": "gw_1", "sequence": sequence, "records": list(records)}
    answer = await api.internal().post("/internal/v1/usage", json=body)
    assert answer.status_code == 200
    return answer.json()["sequence"]


async def test_only_the_platforms_own_processes_report_usage(api: Api):
    body = {"gateway_id": "gw_1", "sequence": 1, "records": [record(1)]}
    for client in (api.client(None), api.client(Role.PLATFORM_ADMIN), api.client(token="internal-token")):
        assert (await client.post("/internal/v1/usage", json=body)).status_code == 401
    assert (await api.client().get("/api/v1/usage")).json()["total"] == 0


async def test_a_batch_sent_again_counts_once_and_the_key_shows_its_last_use(api: Api):
    key = (await api.client().post("/api/v1/keys", json={"name": "app"})).json()["key"]
    for _ in range(2):
        assert await ship(api, 1, record(1, api_key_id=key["id"]), record(9, api_key_id=key["id"])) == 1
    assert (await api.client().get("/api/v1/usage")).json()["total"] == 2
    assert (await api.client().get(f"/api/v1/keys/{key['id']}")).json()["last_used_at"] == "2026-01-05T12:00:09Z"


async def test_summaries_tell_apart_what_is_asked_and_keep_projects_apart(api: Api):
    await ship(
        api,
        1,
        record(1),
        record(2, outcome="engine_error", completion_tokens=None),
        record(3, project="other", service="code", started_at="2026-01-06T01:00:00Z"),
    )
    viewer, admin = api.client(Role.VIEWER), api.client()
    rows = (await viewer.get("/api/v1/usage/summary")).json()["items"]
    assert rows == [
        {
            "group": {"service": "demo"},
            "requests": 2,
            "errors": 1,
            "prompt_tokens": 6,
            "completion_tokens": 4,
            "cost_micros": 0,
            "unpriced": 2,
            "ttft_ms_p50": pytest.approx(50, rel=0.05),
            "ttft_ms_p99": pytest.approx(50, rel=0.05),
        }
    ]
    query = {"group_by": ["day", "project"]}
    found = (await admin.get("/api/v1/usage/summary", params=query)).json()["items"]
    assert [(row["group"], row["requests"]) for row in found] == [
        ({"day": "2026-01-05", "project": "default"}, 2),
        ({"day": "2026-01-06", "project": "other"}, 1),
    ]
    hours = (
        await admin.get("/api/v1/usage/summary", params={"group_by": "hour", "since": "2026-01-05T12:30:00Z"})
    ).json()
    assert [row["group"]["hour"] for row in hours["items"]] == ["2026-01-05T12:00:00Z", "2026-01-06T01:00:00Z"]
    assert (await admin.get("/api/v1/usage/summary", params={"group_by": "color"})).status_code == 422


async def test_the_export_has_every_request_that_the_caller_may_see(api: Api):
    await ship(api, 1, *(record(number) for number in range(40)), record(41, project="other"))
    answer = await api.client(Role.VIEWER).get("/api/v1/usage.csv", params={"since": "2026-01-05T12:00:10Z"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["request_id"] for row in rows] == [f"req-{number}" for number in reversed(range(10, 40))]
    assert (rows[0]["outcome"], rows[0]["prompt_tokens"], rows[0]["replica_id"]) == ("ok", "3", "")


async def test_an_export_of_nothing_has_its_header(api: Api):
    answer = await api.client().get("/api/v1/usage.csv")
    assert answer.text.startswith("request_id,api_key_id,")


async def test_records_are_filtered_by_outcome(api: Api):
    await ship(api, 1, record(1), record(2, outcome="rejected"))
    found = (await api.client().get("/api/v1/usage", params={"outcome": "rejected"})).json()
    assert [item["request_id"] for item in found["items"]] == ["req-2"]
    assert (await api.client().get("/api/v1/usage", params={"outcome": "odd"})).status_code == 422


async def test_use_by_tag_counts_in_every_tag_of_its_key_and_apart_without_one(api: Api):
    async def key(name: str, *tags: str) -> str:
        body = {"name": name, "tags": list(tags)}
        return (await api.client().post("/api/v1/keys", json=body)).json()["key"]["id"]

    both, shop = await key("both", "team=shop", "live"), await key("shop", "team=shop")
    await ship(
        api,
        1,
        record(1, api_key_id=both),
        record(2, api_key_id=shop),
        record(3, api_key_id=await key("plain")),
        record(4, api_key_id="key_unknown", service="other"),
    )

    async def by(*groups: str) -> dict[tuple[str, ...], int]:
        query = {"group_by": [*groups]}
        rows = (await api.client().get("/api/v1/usage/summary", params=query)).json()["items"]
        return {tuple(row["group"][name] for name in groups): row["requests"] for row in rows}

    assert await by("tag") == {("team=shop",): 2, ("live",): 1, ("",): 2}
    assert await by("tag", "service") == {
        ("team=shop", "demo"): 2,
        ("live", "demo"): 1,
        ("", "demo"): 1,
        ("", "other"): 1,
    }
    assert await by("service") == {("demo",): 3, ("other",): 1}
