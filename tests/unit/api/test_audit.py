"""The audit log over REST: what a change was, what was refused, page by page and as CSV."""

from __future__ import annotations

import csv
import io
import json
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


async def audit(api: Api, **query: Any) -> dict[str, Any]:
    answer = await api.client(Role.AUDITOR).get("/api/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_change_is_told_with_before_and_after(api: Api):
    admin = api.client()
    await admin.post("/api/v1/users", json={"name": "ann", "password": "long enough"})
    await admin.patch("/api/v1/users/ann", json={"disabled": True, "password": "another one"})
    await admin.patch("/api/v1/projects/default", json={"description": "Ours"})
    await admin.put("/api/v1/projects/default/members/ann", json={"role": "viewer"})
    await admin.put("/api/v1/projects/default/members/ann", json={"role": "developer"})
    await admin.delete("/api/v1/projects/default/members/ann")
    key = (await admin.post("/api/v1/keys", json={"name": "app"})).json()["key"]
    await admin.patch(f"/api/v1/keys/{key['id']}", json={"models": ["demo"]})
    entries = {entry["action"]: entry for entry in reversed((await audit(api))["items"])}
    user = entries["user.update"]["details"]
    assert (user["before"]["disabled"], user["after"]["disabled"]) == (False, True)
    assert entries["user.update"]["message"] == "New password."
    assert "another one" not in json.dumps(entries)
    assert entries["project.update"]["details"] == {"before": {"description": ""}, "after": {"description": "Ours"}}
    assert entries["member.set"]["details"] == {"before": {"ann": "viewer"}, "after": {"ann": "developer"}}
    assert entries["member.remove"]["details"] == {"before": {"ann": "developer"}, "after": {"ann": None}}
    assert entries["key.update"]["details"] == {"before": {"models": None}, "after": {"models": ["demo"]}}


async def test_a_change_that_was_refused_is_on_record(api: Api):
    viewer = api.client(Role.VIEWER)
    assert (await viewer.post("/api/v1/keys", json={"name": "app"})).status_code == 403
    assert (await viewer.get("/api/v1/audit")).status_code == 403
    entry, *others = (await audit(api, severity="warning"))["items"]
    assert others == []
    assert (entry["actor"], entry["action"], entry["object_name"]) == (
        "viewer-default",
        "access.refuse",
        "/api/v1/keys",
    )
    assert entry["message"].startswith("POST: ")
    assert entry["address"] == "192.0.2.7"


async def test_the_log_is_read_page_by_page_and_within_a_time(api: Api):
    admin = api.client()
    for number in range(3):
        await admin.post("/api/v1/keys", json={"name": f"k{number}"})
    first = await audit(api, limit=2)
    second = await audit(api, limit=2, before=first["next"])
    assert [e["message"] for e in first["items"] + second["items"]] == ["k2", "k1", "k0"]
    assert (first["total"], second["next"]) == (3, None)
    now = api.parts.clock.now().isoformat()
    assert (await audit(api, until=now))["total"] == 0
    assert (await audit(api, since=now, project="other"))["total"] == 0
    for query in ({"severity": "loud"}, {"since": "yesterday"}, {"before": "evt_gone"}):
        assert (await api.client().get("/api/v1/audit", params=query)).status_code == 422, query


async def test_the_export_has_all_that_match_and_runs_no_formula(api: Api):
    await api.client().post("/api/v1/keys", json={"name": "=1+1"})
    await api.client().post("/api/v1/users", json={"name": "ann"})
    answer = await api.client(Role.AUDITOR).get("/api/v1/audit.csv", params={"kind": "key"})
    assert 'filename="audit.csv"' in answer.headers["content-disposition"]
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["action"], row["message"]) == ("key.create", "'=1+1")
    assert json.loads(row["details"])["name"] == "=1+1"
    assert (await api.client(Role.VIEWER).get("/api/v1/audit.csv")).status_code == 403


async def test_a_name_that_is_taken_is_told_at_its_field(api: Api):
    for path, body in (("users", {"name": "ann"}), ("projects", {"name": "lab"})):
        assert (await api.client().post(f"/api/v1/{path}", json=body)).status_code == 201
        again = await api.client().post(f"/api/v1/{path}", json=body)
        assert (again.status_code, again.json()["error"]["details"]) == (409, {"fields": {"name": "taken"}})
