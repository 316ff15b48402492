"""The request log over REST: who opts in, who sees what, and that reading a body leaves an entry."""

from __future__ import annotations

import base64
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.support.api import Api, serve_api
from tests.support.identity import add_project, identity_cases

from aicp.control import kept_bodies
from aicp.control.kept_bodies import forget_bodies
from aicp.core.identity import Role
from aicp.store.database import Database
from aicp.store.request_bodies import RequestBodies
from aicp.store.request_log import RequestLogRules

RULE = "/api/v1/projects/default/request-log"


@pytest.fixture
async def api(sqlite: Database) -> AsyncIterator[Api]:
    async with serve_api(identity_cases, database=sqlite) as served:
        await add_project(sqlite, served.parts.clock, "default", "other")
        yield served


async def ship(api: Api, name: str, project: str = "default", **changes: Any) -> None:
    """A request's record and bodies, as a gateway ships them."""
    shared = {
        "request_id": name,
        "api_key_id": "key_1",
        "project": project,
        "service": "demo",
        "started_at": api.parts.clock.now().isoformat(),
        "outcome": "ok",
    }
    record = {**shared, "endpoint": "/v1/chat/completions", "status": 200, **changes}
    usage = {"gateway_id": "gw", "sequence": hash(name) % 10**6, "records": [record]}
    assert (await api.internal().post("/internal/v1/usage", json=usage)).status_code == 200
    body = base64.b64encode(zlib.compress(b'{"say":"hello"}')).decode()
    kept = {**shared, "request": body, "request_kind": "application/json", "request_bytes": 15, "endpoint": "/v1/x"}
    for _ in range(2):  # an answer may be lost
        bodies = {"gateway_id": "gw", "sequence": 1, "records": [kept]}
        assert (await api.internal().post("/internal/v1/request-bodies", json=bodies)).status_code == 204


async def test_a_project_opts_in_and_who_did_it_is_known(api: Api) -> None:
    admin = api.client(Role.PROJECT_ADMIN)
    before = (await admin.get(RULE)).json()
    assert (before["bodies"], before["set_at"]) == ("off", None)
    with api.parts.bell.subscription("project") as rings:
        answer = await admin.put(RULE, json={"bodies": "errors", "redact": ["emails"], "patterns": ["EMP-[0-9]{4}"]})
        assert rings.qsize() == 1
    assert answer.status_code == 200
    assert (answer.json()["redact"], answer.json()["set_by"]) == (["secrets", "emails"], "project-admin-default")
    auditor = api.client(Role.AUDITOR)
    listed = (await auditor.get("/api/v1/request-log")).json()
    assert [(rule["project"], rule["bodies"]) for rule in listed["items"]] == [("default", "errors")]
    (entry,) = (await auditor.get("/api/v1/audit", params={"action": "request_log.set"})).json()["items"]
    assert (entry["project"], entry["message"]) == ("default", "bodies: errors.")
    assert entry["details"]["after"]["bodies"] == "errors"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"bodies": "some"},
        {"bodies": "all", "share": 1.5},
        {"bodies": "all", "retention_days": 366},
        {"bodies": "all", "max_body_bytes": 2**20},
        {"bodies": "all", "redact": ["names"]},
        {"bodies": "all", "patterns": ["(a+)+b"]},
        {"bodies": "all", "patterns": ["x" * 201]},
        {"bodies": "all", "patterns": ["x"] * 11},
    ],
)
async def test_what_is_no_rule_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    answer = await api.client().put(RULE, json=wrong)
    assert answer.status_code == 422, answer.text
    assert (await api.client().get("/api/v1/request-log")).json()["total"] == 0


async def test_only_who_writes_a_project_opts_in(api: Api) -> None:
    body = {"bodies": "all"}
    for role in (Role.DEVELOPER, Role.VIEWER, Role.AUDITOR, Role.KEY_ADMIN):
        assert (await api.client(role).put(RULE, json=body)).status_code == 403
        assert (await api.client(role).delete(RULE)).status_code == 403
    other = api.client(Role.PROJECT_ADMIN, project="other")
    assert (await other.put(RULE, json=body)).status_code == 404
    assert (await other.get(RULE)).status_code == 404
    assert (await api.client().put("/api/v1/projects/none/request-log", json=body)).status_code == 404


async def test_a_body_is_for_few_and_reading_it_leaves_an_entry(api: Api) -> None:
    admin, path = api.client(Role.PROJECT_ADMIN), "/api/v1/requests/req_1/body"
    await admin.put(RULE, json={"bodies": "all", "retention_days": 3})
    await ship(api, "req_1")
    facts = (await api.client(Role.VIEWER).get("/api/v1/requests/req_1")).json()
    assert (facts["has_body"], facts["status"]) == (True, 200)
    for role in (Role.DEVELOPER, Role.VIEWER, Role.AUDITOR, Role.KEY_ADMIN):
        assert (await api.client(role).get(path)).status_code == 403
    assert (await api.client(Role.PROJECT_ADMIN, project="other").get(path)).status_code == 404
    assert (await api.client().get("/api/v1/audit", params={"action": "request.read_body"})).json()["total"] == 0
    found = (await admin.get(path)).json()
    assert found["request"] == {"text": '{"say":"hello"}', "kind": "application/json", "bytes": 15, "cut": False}
    assert found["answer"] == {"text": None, "kind": "", "bytes": 0, "cut": False}
    (entry,) = (await admin.get("/api/v1/audit", params={"action": "request.read_body"})).json()["items"]
    assert (entry["actor"], entry["object_name"], entry["project"]) == ("project-admin-default", "req_1", "default")


async def test_a_rule_that_is_deleted_takes_what_was_kept_with_it(api: Api) -> None:
    admin, path = api.client(), "/api/v1/requests/req_1/body"
    await admin.put(RULE, json={"bodies": "all"})
    await ship(api, "req_1")
    await admin.put(RULE, json={"bodies": "off"})
    assert (await admin.get(path)).status_code == 200
    assert (await admin.delete(RULE)).status_code == 204
    assert (await admin.delete(RULE)).status_code == 404
    await ship(api, "req_2")
    await admin.put(RULE, json={"bodies": "all"})
    for name in ("req_1", "req_2"):
        assert (await admin.get(f"/api/v1/requests/{name}/body")).status_code == 404
        assert not (await admin.get(f"/api/v1/requests/{name}")).json()["has_body"]


async def test_a_first_rule_begins_with_nothing(api: Api, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_bodies, "_AT_ONCE", 2)
    admin = api.client()
    await admin.put(RULE, json={"bodies": "all"})
    for number in range(5):
        await ship(api, f"req_{number}")
    await admin.put(RULE, json={"bodies": "errors"})
    await forget_bodies(sqlite, "default")
    assert len((await admin.get("/api/v1/requests", params={"with_body": True})).json()["items"]) == 5
    async with sqlite.transaction() as tx:  # whoever deleted it was cut off there
        await RequestLogRules(tx).delete("default")
    assert (await admin.put(RULE, json={"bodies": "all"})).status_code == 200
    assert (await admin.get("/api/v1/requests", params={"with_body": True})).json()["items"] == []
    assert (await admin.get("/api/v1/audit", params={"action": "request_log.set"})).json()["total"] == 3


async def test_bodies_go_with_their_project(api: Api, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_bodies, "_AT_ONCE", 2)
    admin = api.client()
    for project in ("default", "other"):
        await admin.put(f"/api/v1/projects/{project}/request-log", json={"bodies": "all"})
    for number in range(5):
        await ship(api, f"req_{number}", "other")
    await ship(api, "mine")
    assert (await admin.delete("/api/v1/projects/other")).status_code == 204
    async with sqlite.snapshot() as tx:
        left = [name for name in ("mine", *map("req_{}".format, range(5))) if await RequestBodies(tx).find(name)]
    assert left == ["mine"]


async def test_a_late_body_is_not_kept_beyond_its_retention(api: Api) -> None:
    admin = api.client()
    await admin.put(RULE, json={"bodies": "all", "retention_days": 1})
    late = (api.parts.clock.now() - timedelta(days=2)).isoformat()
    record = {"request_id": "req_1", "api_key_id": "k", "project": "default", "service": "s", "started_at": late}
    batch = {"gateway_id": "gw", "sequence": 1, "records": [{**record, "outcome": "ok"}]}
    assert (await api.internal().post("/internal/v1/request-bodies", json=batch)).status_code == 204
    assert (await admin.get("/api/v1/requests", params={"with_body": True})).json()["items"] == []


async def test_requests_of_the_own_projects_are_found(api: Api) -> None:
    viewer = api.client(Role.VIEWER)
    key = (await api.client(Role.DEVELOPER).post("/api/v1/keys", json={"name": "a", "tags": ["team=x"]})).json()["key"]
    await ship(api, "req_1", status=429, outcome="rejected", api_key_id=key["id"])
    await ship(api, "req_2")
    await ship(api, "req_3", "other")

    async def found(**which: Any) -> list[str]:
        answer = await viewer.get("/api/v1/requests", params=which)
        assert answer.status_code == 200, answer.text
        return sorted(item["request_id"] for item in answer.json()["items"])

    assert await found() == ["req_1", "req_2"]
    assert await found(failed=True) == await found(status=429) == await found(tag="team=x") == ["req_1"]
    assert (await viewer.get("/api/v1/requests", params={"project": "other"})).status_code == 404
    assert (await viewer.get("/api/v1/requests/req_3")).status_code == 404
    assert (await viewer.get("/api/v1/requests", params={"before": "nothing"})).status_code == 422
    first = (await viewer.get("/api/v1/requests", params={"limit": 1})).json()
    second = (await viewer.get("/api/v1/requests", params={"limit": 1, "before": first["next"]})).json()
    assert {first["items"][0]["request_id"], second["items"][0]["request_id"]} == {"req_1", "req_2"}
    assert second["next"] is None


async def test_gateways_get_the_rules_that_keep_something(api: Api, sqlite: Database) -> None:
    await api.client().put(RULE, json={"bodies": "all", "share": 0})
    await api.client().put("/api/v1/projects/other/request-log", json={"bodies": "errors"})
    async with sqlite.snapshot() as tx:
        assert list(await RequestLogRules(tx).entries()) == ["other"]
