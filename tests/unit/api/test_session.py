"""Logging in and out for real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.support.api import Api, serve_api
from tests.support.identity import PASSWORD, add_project, add_user, quick_passwords, real_login_cases

from aicp.control.bootstrap import bootstrap, note_allowed_networks
from aicp.control.sessions import Sessions
from aicp.core.identity import Role
from aicp.store.database import Database

CONSOLE = {"X-AICP-Request": "1"}


@pytest.fixture
async def api(sqlite: Database) -> AsyncIterator[Api]:
    async with serve_api(real_login_cases, database=sqlite) as served:
        await add_project(sqlite, served.parts.clock, "default", "other")
        await add_user(sqlite, served.parts.clock, "root", Role.PLATFORM_ADMIN)
        await add_user(sqlite, served.parts.clock, "ann", default=Role.DEVELOPER)
        yield served


async def login(api: Api, user: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    body = {"user": user, "password": password}
    return await api.client(None).post("/api/v1/session", json=body, headers=headers)


async def token_of(api: Api, user: str, password: str = PASSWORD) -> httpx.AsyncClient:
    return api.client(token=(await login(api, user, password)).json()["token"])


async def test_a_program_gets_a_token_and_no_cookie(api: Api):
    answer = await login(api, " Ann ")
    assert answer.status_code == 201
    assert "set-cookie" not in answer.headers
    session = (await api.client(token=answer.json()["token"]).get("/api/v1/session")).json()
    assert session["user"]["name"] == "ann"
    assert session["token"] is None
    assert session["permissions"]["*"] == []
    assert "model:write" in session["permissions"]["default"]
    assert "node:write" not in session["permissions"]["default"]


async def test_the_console_gets_a_cookie_that_scripts_cannot_read_and_no_token(api: Api):
    answer = await login(api, "ann", **CONSOLE)
    cookie = answer.headers["set-cookie"]
    assert answer.json()["token"] is None
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    client = api.client(None)
    assert (await client.get("/api/v1/session")).json()["user"]["name"] == "ann"
    assert (await client.put("/api/v1/session/preferences", json={"language": "zh-TW"})).status_code == 403
    changed = await client.put("/api/v1/session/preferences", json={"language": "zh-TW"}, headers=CONSOLE)
    assert changed.json()["language"] == "zh-TW"
    assert (await client.delete("/api/v1/session", headers=CONSOLE)).status_code == 204
    assert (await client.get("/api/v1/session")).status_code == 401


async def test_wrong_names_and_wrong_passwords_look_the_same(api: Api):
    wrong, unknown = await login(api, "ann", "wrong"), await login(api, "nobody", "wrong")
    assert wrong.status_code == unknown.status_code == 401
    error = [{**answer.json()["error"], "request_id": ""} for answer in (wrong, unknown)]
    assert error[0] == error[1]
    assert error[0]["code"] == "wrong_login"


async def test_a_session_ends_by_logout_and_by_time(api: Api):
    client = await token_of(api, "ann")
    other = await token_of(api, "ann")
    assert (await client.delete("/api/v1/session")).status_code == 204
    assert (await client.get("/api/v1/session")).status_code == 401
    assert (await other.get("/api/v1/session")).status_code == 200
    api.parts.clock.advance(7 * 86400)
    assert (await other.get("/api/v1/session")).status_code == 401


async def test_a_new_password_ends_every_session_but_the_one_it_opens(api: Api):
    client, other = await token_of(api, "ann"), await token_of(api, "ann")
    body = {"current": PASSWORD, "new": "another horse"}
    refused = await client.post("/api/v1/session/password", json={**body, "current": "wrong"})
    assert (refused.status_code, refused.json()["error"]["details"]) == (422, {"fields": {"current": "wrong"}})
    fresh = (await client.post("/api/v1/session/password", json=body)).json()["token"]
    assert (await client.get("/api/v1/session")).status_code == 401
    assert (await other.get("/api/v1/session")).status_code == 401
    assert (await api.client(token=fresh).get("/api/v1/session")).status_code == 200
    assert (await login(api, "ann")).status_code == 401
    assert (await login(api, "ann", "another horse")).status_code == 201


async def test_guessing_is_slowed_down_but_locks_nobody_out_elsewhere(api: Api):
    for _ in range(5):
        assert (await login(api, "ann", "wrong")).status_code == 401
    held = await login(api, "ann")
    assert (held.status_code, held.json()["error"]["code"]) == (429, "too_many_requests")
    assert int(held.headers["retry-after"]) <= 2
    elsewhere = httpx.ASGITransport(app=api.app, client=("198.51.100.9", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://localhost") as client:
        body = {"user": "ann", "password": PASSWORD}
        assert (await client.post("/api/v1/session", json=body)).status_code == 201
    api.parts.clock.advance(2)
    assert (await login(api, "ann", "wrong")).status_code == 401
    assert int((await login(api, "ann")).headers["retry-after"]) == 3  # the wait doubles
    api.parts.clock.advance(3)
    assert (await login(api, "ann")).status_code == 201
    assert (await login(api, "ann", "wrong")).status_code == 401  # and a success forgives


async def test_guesses_at_the_same_moment_count_like_guesses_one_by_one(api: Api):
    answers = await asyncio.gather(*(login(api, "ann", "wrong") for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 25


async def test_many_right_logins_at_the_same_moment_pass(api: Api):
    answers = await asyncio.gather(*(login(api, "ann") for _ in range(30)))
    assert {answer.status_code for answer in answers} == {201}


async def test_an_address_that_tries_many_names_is_slowed_down_too(api: Api):
    answers = [(await login(api, f"user{number}", "wrong")).status_code for number in range(21)]
    assert answers == [401] * 20 + [429]


async def test_roles_hold_from_the_next_request_and_a_platform_role_ends_sessions(api: Api):
    root, ann = await token_of(api, "root"), await token_of(api, "ann")
    assert (await ann.get("/api/v1/audit")).status_code == 403
    member = await root.put("/api/v1/projects/default/members/ann", json={"role": "project-admin"})
    assert member.json() == {"user": "ann", "role": "project-admin"}
    assert (await ann.get("/api/v1/audit")).status_code == 200
    assert (await root.patch("/api/v1/users/ann", json={"platform_roles": ["auditor"]})).status_code == 200
    assert (await ann.get("/api/v1/session")).status_code == 401


async def test_a_disabled_user_is_out_at_once(api: Api):
    root, ann = await token_of(api, "root"), await token_of(api, "ann")
    assert (await root.patch("/api/v1/users/ann", json={"disabled": True})).status_code == 200
    assert (await ann.get("/api/v1/session")).status_code == 401
    assert (await login(api, "ann")).status_code == 401


async def test_logins_and_refusals_are_audited_without_what_was_typed(api: Api):
    await login(api, "ann")
    await login(api, "ann", "wrong")
    await login(api, "my-password-in-the-wrong-field", "x")
    root = await token_of(api, "root")
    entries = (await root.get("/api/v1/audit", params={"kind": "user"})).json()["items"]
    assert [(entry["action"], entry["actor"]) for entry in entries] == [
        ("session.login", "root"),
        ("session.refuse", "unknown"),
        ("session.refuse", "ann"),
        ("session.login", "ann"),
    ]
    assert entries[-1]["address"] == "192.0.2.7"
    assert entries[-1]["request_id"].startswith("req_")


async def test_the_first_start_makes_an_admin_and_each_start_a_local_token(sqlite: Database, tmp_path: Path):
    async with serve_api(real_login_cases, database=sqlite) as api:
        sessions = Sessions(sqlite, api.parts.clock, api.parts.bell, quick_passwords())
        await bootstrap(sqlite, api.parts.clock, quick_passwords(), sessions, tmp_path)
        password = (tmp_path / "admin-password").read_text().strip()
        first = (tmp_path / "admin.token").read_text()
        assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("admin*")} == {
            "admin-password": 0o600,
            "admin.token": 0o600,
        }
        session = (await login(api, "admin", password)).json()
        assert session["user"]["must_change_password"] is True
        assert "user:write" in session["permissions"]["*"]
        assert (await api.client(token=first).get("/api/v1/projects")).json()["items"][0]["name"] == "default"

        # the admin's own password does not end the token of this machine's commands
        change = {"current": password, "new": "another horse"}
        assert (await api.client(token=session["token"]).post("/api/v1/session/password", json=change)).is_success
        assert (await api.client(token=first).get("/api/v1/session")).status_code == 200

        await bootstrap(sqlite, api.parts.clock, quick_passwords(), sessions, tmp_path)
        second = (tmp_path / "admin.token").read_text()
        assert (await api.client(token=first).get("/api/v1/session")).status_code == 401
        assert (await api.client(token=second).get("/api/v1/session")).status_code == 200
        assert not (tmp_path / "admin-password").exists(), "a file with a password that no longer holds misleads"
        assert (await login(api, "admin", "another horse")).json()["user"]["must_change_password"] is False


async def test_opening_private_networks_to_imports_is_audited_once(sqlite: Database, api: Api):
    for networks in ([], ["10.0.0.0/8"], ["10.0.0.0/8"], []):
        await note_allowed_networks(sqlite, api.parts.clock, networks)
        api.parts.clock.advance(1)
    root = await token_of(api, "root")
    found = (await root.get("/api/v1/audit", params={"kind": "setting"})).json()["items"]
    assert [item["details"]["after"] for item in found] == [[], ["10.0.0.0/8"]]
