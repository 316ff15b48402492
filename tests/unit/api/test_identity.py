"""Users, projects, members and keys over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.support.api import Api, serve_api
from tests.support.identity import PEPPER, add_project, add_user, identity_cases

from aicp.core.identity import Role
from aicp.core.model import ModelCreate
from aicp.core.route import KeyEntry, LimitsEntry
from aicp.security.keys import key_digest, key_id
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database
from aicp.store.models import Models
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects


@pytest.fixture
async def api(sqlite: Database) -> AsyncIterator[Api]:
    async with serve_api(identity_cases, database=sqlite) as served:
        await add_project(sqlite, served.parts.clock, "default", "other")
        await add_user(sqlite, served.parts.clock, "platform-admin", Role.PLATFORM_ADMIN)
        await add_user(sqlite, served.parts.clock, "ann", default=Role.DEVELOPER, other=Role.VIEWER)
        yield served


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def actions(api: Api) -> list[str]:
    entries = (await api.client().get("/api/v1/audit", params={"limit": 500})).json()["items"]
    return [entry["action"] for entry in entries]


async def test_a_made_password_is_shown_once_and_must_be_changed(api: Api):
    admin = api.client()
    body: dict[str, Any] = {"name": "bob", "platform_roles": ["key-admin"], "projects": {"other": "developer"}}
    created = await admin.post("/api/v1/users", json=body)
    assert created.status_code == 201
    assert len(created.json()["password"]) > 16
    user = (await admin.get("/api/v1/users/bob")).json()
    assert (user["must_change_password"], user["projects"]) == (True, {"other": "developer"})
    assert error(await admin.post("/api/v1/users", json=body)) == (409, "conflict")
    assert created.json()["password"] not in (await admin.get("/api/v1/audit")).text


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Not A Name"},
        {"name": "bob", "password": "short"},
        {"name": "bob", "platform_roles": ["developer"]},
        {"name": "bob", "projects": {"default": "platform-admin"}},
        {"name": "bob", "projects": {"missing": "viewer"}},
        {"name": "bob", "misspelt": 1},
    ],
)
async def test_users_that_make_no_sense_are_422(api: Api, body: dict[str, Any]):
    assert (await api.client().post("/api/v1/users", json=body)).status_code == 422
    assert (await api.client().get("/api/v1/users/bob")).status_code == 404


async def test_the_last_platform_admin_stays(api: Api):
    admin = api.client()
    for change in ({"disabled": True}, {"platform_roles": []}):
        assert error(await admin.patch("/api/v1/users/platform-admin", json=change)) == (409, "conflict")
    assert error(await admin.delete("/api/v1/users/platform-admin")) == (409, "conflict")
    user = (await admin.get("/api/v1/users/platform-admin")).json()
    assert (user["disabled"], user["platform_roles"]) == (False, ["platform-admin"])
    assert (await admin.patch("/api/v1/users/ann", json={"platform_roles": ["platform-admin"]})).status_code == 200
    assert (await admin.patch("/api/v1/users/platform-admin", json={"platform_roles": []})).status_code == 200


async def test_a_project_admin_sees_of_others_only_what_concerns_the_project(api: Api):
    users = (await api.client(Role.PROJECT_ADMIN).get("/api/v1/users", params={"search": "ann"})).json()["items"]
    assert [(user["name"], user["projects"], user["email"]) for user in users] == [
        ("ann", {"default": "developer"}, None)
    ]
    everything = (await api.client(Role.AUDITOR).get("/api/v1/users/ann")).json()
    assert everything["projects"] == {"default": "developer", "other": "viewer"}


async def test_projects_are_seen_by_their_members_only(api: Api):
    developer = api.client(Role.DEVELOPER)
    assert [item["name"] for item in (await developer.get("/api/v1/projects")).json()["items"]] == ["default"]
    hidden = await developer.get("/api/v1/projects/other")
    missing = await developer.get("/api/v1/projects/missing")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["error"]["message"].replace("other", "missing") == missing.json()["error"]["message"]
    assert (await api.client().get("/api/v1/projects")).json()["total"] == 2
    assert (await developer.get("/api/v1/projects/other/members")).status_code == 404


async def test_only_who_may_write_all_projects_adds_and_removes_them(api: Api):
    admin, owner = api.client(), api.client(Role.PROJECT_ADMIN)
    assert error(await owner.post("/api/v1/projects", json={"name": "mine"})) == (403, "forbidden")
    assert error(await owner.delete("/api/v1/projects/default")) == (403, "forbidden")
    changed = await owner.patch("/api/v1/projects/default", json={"description": "ours"})
    assert changed.json()["description"] == "ours"
    assert (await owner.patch("/api/v1/projects/other", json={"description": "ours"})).status_code == 404

    assert (await admin.post("/api/v1/projects", json={"name": "new", "description": "d"})).status_code == 201
    assert error(await admin.post("/api/v1/projects", json={"name": "new"})) == (409, "conflict")
    assert (await admin.post("/api/v1/projects", json={"name": "x", "organization": "none"})).status_code == 422
    assert error(await admin.delete("/api/v1/projects/default")) == (409, "conflict")
    assert (await admin.delete("/api/v1/projects/new")).status_code == 204
    assert (await admin.get("/api/v1/projects/new")).status_code == 404


async def test_a_project_that_is_not_empty_stays(api: Api):
    await api.client().post("/api/v1/projects", json={"name": "new"})
    async with api.parts.database.transaction() as tx:
        await Models(tx).create(ModelCreate(name="demo", project="new"), api.parts.clock.now())
    answer = await api.client().delete("/api/v1/projects/new")
    assert error(answer) == (409, "not_empty")
    assert "1 model(s)" in answer.json()["error"]["message"]
    assert (await api.client().get("/api/v1/projects/new")).status_code == 200


async def test_a_removed_project_ends_its_keys(api: Api):
    admin = api.client()
    await admin.post("/api/v1/projects", json={"name": "new"})
    key = (await admin.post("/api/v1/keys", json={"name": "k", "project": "new"})).json()["key"]
    await admin.delete("/api/v1/projects/new")
    assert (await admin.get(f"/api/v1/keys/{key['id']}")).json()["revoked_at"] is not None


async def test_members_come_and_go(api: Api):
    owner = api.client(Role.PROJECT_ADMIN)
    path = "/api/v1/projects/default/members"
    assert (await owner.get(path)).json()["items"] == [{"user": "ann", "role": "developer"}]
    assert (await owner.get(path, params={"search": "AN", "sort": "-role"})).json()["total"] == 1
    assert (await owner.get(path, params={"search": "zoe"})).json()["total"] == 0
    assert (await owner.put(f"{path}/ann", json={"role": "viewer"})).json() == {"user": "ann", "role": "viewer"}
    assert error(await owner.put(f"{path}/ann", json={"role": "auditor"})) == (422, "invalid")
    assert (await owner.put(f"{path}/nobody", json={"role": "viewer"})).status_code == 404
    assert (await owner.put("/api/v1/projects/other/members/ann", json={"role": "viewer"})).status_code == 404
    assert (await owner.delete(f"{path}/ann")).status_code == 204
    assert (await owner.delete(f"{path}/ann")).status_code == 404
    assert (await owner.get(path)).json()["total"] == 0
    assert [action for action in await actions(api) if action.startswith("member")] == [
        "member.remove",
        "member.set",
    ]


async def test_a_key_is_shown_once_and_only_its_digest_is_kept(api: Api):
    developer = api.client(Role.DEVELOPER)
    created = (await developer.post("/api/v1/keys", json={"name": "app", "models": ["demo", " demo ", ""]})).json()
    secret, key = created["secret"], created["key"]
    assert key_id(secret) == key["id"]
    assert (key["models"], key["created_by"], key["project"]) == (["demo"], "developer-default", "default")
    assert secret not in (await developer.get("/api/v1/keys")).text
    assert secret not in (await api.client().get("/api/v1/audit")).text
    async with api.parts.database.snapshot() as tx:
        (entry,) = await ApiKeys(tx).entries(api.parts.clock.now())
    assert (entry.digest, entry.models) == (key_digest(PEPPER, secret), ["demo"])


async def test_keys_change_and_end(api: Api):
    developer = api.client(Role.DEVELOPER)
    key = (await developer.post("/api/v1/keys", json={"name": "app", "models": ["demo"]})).json()["key"]
    path = f"/api/v1/keys/{key['id']}"
    with api.parts.bell.subscription("key") as rings:
        assert (await developer.patch(path, json={"models": None})).json()["models"] is None
        assert (await developer.patch(path, json={"name": "renamed"})).json()["name"] == "renamed"
        assert (await developer.patch(path, json={"name": None})).status_code == 422
        past = (api.parts.clock.now() - timedelta(seconds=1)).isoformat()
        assert (await developer.patch(path, json={"expires_at": past})).status_code == 422
        assert (await developer.delete(path)).status_code == 204
        assert (await developer.delete(path)).status_code == 204
        assert rings.qsize() == 3
    assert error(await developer.patch(path, json={"name": "again"})) == (409, "conflict")
    assert (await developer.get("/api/v1/keys", params={"state": "active"})).json()["total"] == 0
    assert (await actions(api)) == ["key.revoke", "key.update", "key.update", "key.create"]


async def test_limits_are_kept_changed_and_lifted(api: Api):
    developer = api.client(Role.DEVELOPER)
    body = {"name": "app", "limits": {"rpm": 60}, "networks": ["10.1.2.3", "10.1.0.0/16"]}
    key = (await developer.post("/api/v1/keys", json=body)).json()["key"]
    path = f"/api/v1/keys/{key['id']}"
    assert (key["limits"]["rpm"], key["limits"]["tpm"]) == (60, None)
    assert key["networks"] == ["10.1.2.3/32", "10.1.0.0/16"]
    await developer.patch(path, json={"limits": {"tpm": 1000, "tokens_per_day": 5}})
    async with api.parts.database.snapshot() as tx:
        (entry,) = await ApiKeys(tx).entries(api.parts.clock.now())
    assert entry.limits == LimitsEntry(tpm=1000, tokens_per_day=5)
    assert entry.networks == ["10.1.2.3/32", "10.1.0.0/16"]
    lifted = (await developer.patch(path, json={"limits": None, "networks": None})).json()
    assert (set(lifted["limits"].values()), lifted["networks"]) == ({None}, None)
    for wrong in (
        {"limits": {"rpm": 0}},
        {"limits": {"rmp": 5}},
        {"networks": ["10.1.2.3/8"]},
        {"networks": ["example.org"]},
        {"weight": 0},
        {"priority": "first"},
        {"priority": None},
    ):
        assert (await developer.patch(path, json=wrong)).status_code == 422, wrong


async def test_only_who_writes_all_keys_raises_their_priority(api: Api):
    developer, key_admin = api.client(Role.DEVELOPER), api.client(Role.KEY_ADMIN)
    for body in ({"priority": "critical"}, {"weight": 2}):
        assert (await developer.post("/api/v1/keys", json={"name": "app", **body})).status_code == 403
        assert (await key_admin.post("/api/v1/keys", json={"name": "app", **body})).status_code == 201
    lowered = await developer.post("/api/v1/keys", json={"name": "low", "priority": "batch", "weight": 0.5})
    assert lowered.status_code == 201


async def test_a_rotated_key_has_two_secrets_for_a_while(api: Api):
    developer = api.client(Role.DEVELOPER)
    created = (await developer.post("/api/v1/keys", json={"name": "app"})).json()
    path, clock = f"/api/v1/keys/{created['key']['id']}", api.parts.clock

    async def entry() -> KeyEntry:
        async with api.parts.database.snapshot() as tx:
            (found,) = await ApiKeys(tx).entries(clock.now())
        return found

    rotated = (await developer.post(f"{path}/rotate", json={"overlap_seconds": 60})).json()
    assert key_id(rotated["secret"]) == created["key"]["id"]
    assert rotated["secret"] != created["secret"]
    assert (await entry()).digest == key_digest(PEPPER, rotated["secret"])
    assert (await entry()).previous_digest == key_digest(PEPPER, created["secret"])
    assert (await entry()).previous_until == clock.now().timestamp() + 60
    clock.advance(60)
    assert (await entry()).previous_digest is None
    again = (await developer.post(f"{path}/rotate", json={"overlap_seconds": 0})).json()
    assert ((await entry()).digest, (await entry()).previous_digest) == (key_digest(PEPPER, again["secret"]), None)
    assert (await api.client(Role.VIEWER).post(f"{path}/rotate", json={})).status_code == 403
    await developer.delete(path)
    assert error(await developer.post(f"{path}/rotate", json={})) == (409, "conflict")
    assert (await actions(api)).count("key.rotate") == 2
    assert again["secret"] not in (await api.client().get("/api/v1/audit")).text


async def test_limits_of_a_project_are_not_its_own_people_s(api: Api):
    admin, own = api.client(), api.client(Role.PROJECT_ADMIN)
    assert (await own.patch("/api/v1/projects/default", json={"limits": {"rpm": 9}})).status_code == 403
    assert (await own.patch("/api/v1/projects/default", json={"description": "ours"})).status_code == 200
    assert (await admin.patch("/api/v1/projects/default", json={"limits": {"rpm": 9}})).json()["description"] == "ours"
    assert (await own.get("/api/v1/projects/default")).json()["limits"]["rpm"] == 9
    assert (await own.patch("/api/v1/organizations/default", json={"limits": {"rpm": 9}})).status_code == 403
    changed = await admin.patch("/api/v1/organizations/default", json={"limits": {"tpm": 7}})
    assert changed.json()["limits"]["tpm"] == 7
    assert (await admin.patch("/api/v1/organizations/nowhere", json={"limits": {}})).status_code == 404
    async with api.parts.database.snapshot() as tx:
        (organization,) = await Organizations(tx).entries()
        projects = {one.name: one for one in await Projects(tx).entries()}
    assert organization.limits == LimitsEntry(tpm=7)
    assert (projects["default"].limits, projects["default"].parent) == (LimitsEntry(rpm=9), "default")
    assert [name for name in await actions(api) if name != "access.refuse"][:2] == [
        "organization.update",
        "project.update",
    ]


async def test_keys_of_another_project_do_not_exist(api: Api):
    key = (await api.client().post("/api/v1/keys", json={"name": "app", "project": "other"})).json()["key"]
    developer = api.client(Role.DEVELOPER)
    path = f"/api/v1/keys/{key['id']}"
    answers = [
        await developer.get(path),
        await developer.patch(path, json={"name": "mine"}),
        await developer.delete(path),
        await developer.post("/api/v1/keys", json={"name": "app", "project": "other"}),
        await developer.get("/api/v1/keys", params={"project": "other"}),
        await developer.get("/api/v1/usage", params={"project": "other"}),
        await developer.get("/api/v1/usage/summary", params={"project": "other"}),
        await developer.get("/api/v1/usage.csv", params={"project": "other"}),
        await developer.get("/api/v1/events", params={"project": "other"}),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert (await developer.get("/api/v1/keys")).json()["total"] == 0
    assert (await api.client(Role.KEY_ADMIN).get("/api/v1/keys")).json()["total"] == 1


async def test_lists_refuse_what_they_cannot_sort_or_page(api: Api):
    admin = api.client()
    for query in ({"sort": "digest"}, {"limit": 501}, {"offset": -1}, {"limit": 0}):
        assert (await admin.get("/api/v1/keys", params=query)).status_code == 422, query
    assert (await admin.get("/api/v1/keys/' OR 1=1")).status_code == 404


async def test_the_audit_shows_a_project_admin_only_the_own_project(api: Api):
    admin = api.client()
    await admin.post("/api/v1/keys", json={"name": "a", "project": "default"})
    await admin.post("/api/v1/keys", json={"name": "b", "project": "other"})
    await admin.patch("/api/v1/users/ann", json={"email": "ann@example.com"})
    owner = api.client(Role.PROJECT_ADMIN)
    assert [e["details"]["name"] for e in (await owner.get("/api/v1/audit")).json()["items"]] == ["a"]
    assert (await owner.get("/api/v1/audit", params={"project": "other"})).status_code == 404
    everything = (await api.client(Role.AUDITOR).get("/api/v1/audit", params={"actor": "platform-admin"})).json()
    assert [e["action"] for e in everything["items"]] == ["user.update", "key.create", "key.create"]
    assert everything["items"][0]["details"] == {"before": {"email": None}, "after": {"email": "ann@example.com"}}
