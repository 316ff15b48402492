"""The relay from the console to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.api import Api, Parts, serve_api
from tests.support.asgi import OpenRequest
from tests.support.identity import PEPPER, add_project, identity_cases
from tests.support.upstream import Upstream, run_upstream

from aicp.api.playground import MAX_BODY_BYTES
from aicp.control.playground import Playground, connect_gateway
from aicp.core.event import EventQuery
from aicp.core.identity import Role
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database
from aicp.store.events import Events

CHAT = "/api/v1/playground/v1/chat/completions"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with run_upstream() as running:
        running.accept_all = True
        yield running


@pytest.fixture
async def api(sqlite: Database, upstream: Upstream) -> AsyncIterator[Api]:
    async with connect_gateway(upstream.address) as client:

        def cases(parts: Parts) -> dict[type, object]:
            playground = Playground(parts.database, parts.clock, parts.bell, PEPPER, client)
            return {**identity_cases(parts), Playground: playground}

        async with serve_api(cases, database=sqlite) as served:
            await add_project(sqlite, served.parts.clock, "default", "other")
            yield served


async def entries(api: Api) -> list[tuple[str, str]]:
    async with api.parts.database.snapshot() as tx:
        return [(entry.id, entry.project) for entry in await ApiKeys(tx).entries(api.parts.clock.now())]


async def test_a_try_goes_to_the_gateway_under_a_key_of_the_platform(api: Api, upstream: Upstream):
    body = b'{"model": "demo",  "stream": true}'
    headers = {"Content-Type": "application/json", "Cookie": "a=b", "X-Other": "1", "X-Request-Id": "mine-1"}
    answer = await api.client(Role.VIEWER).post(CHAT, content=body, headers=headers, params={"a": "1"})
    assert answer.content == b"data: 1\n\ndata: 2\n\n"
    assert answer.headers["content-type"] == "text/event-stream"
    assert "x-secret" not in answer.headers
    line, sent, received = upstream.seen[0]
    assert (line, received) == ("POST /v1/chat/completions?a=1 HTTP/1.1", body)
    assert sent["x-request-id"] == "mine-1"
    assert "cookie" not in sent
    assert "x-other" not in sent
    ((key_id, project),) = await entries(api)
    assert sent["authorization"].startswith(f"Bearer sk-{key_id.removeprefix('key_')}-")
    assert project == "default"
    assert (await api.client().get("/api/v1/keys")).json()["total"] == 0  # it is nobody's to see


async def test_one_key_serves_a_user_and_project_until_it_grows_old(api: Api, upstream: Upstream):
    client = api.client(Role.VIEWER)
    await client.post(CHAT, json={})
    await client.get("/api/v1/playground/v1/models?project=default")
    assert len(set(upstream.keys)) == 1
    api.parts.clock.advance(3601)
    await client.post(CHAT, json={})
    assert len(set(upstream.keys)) == 2
    assert upstream.seen[1][0] == "GET /v1/models HTTP/1.1"


async def test_every_key_that_is_made_for_tries_leaves_an_event(api: Api):
    viewer = api.client(Role.VIEWER)
    await viewer.post(CHAT, json={})
    await viewer.post(CHAT, json={})
    ((key_id, _),) = await entries(api)
    async with api.parts.database.snapshot() as tx:
        (event,) = (await Events(tx).list(EventQuery(action="key.create"))).items
    assert (event.actor, event.object_name, event.project, event.audit) == ("viewer-default", key_id, "default", True)
    assert event.details["purpose"] == "playground"
    assert event.request_id
    assert "sk-" not in event.model_dump_json()


async def test_use_belongs_to_the_project_that_is_named(api: Api, upstream: Upstream):
    admin = api.client()
    await admin.post(CHAT, json={}, headers={"X-AICP-Project": "other"})
    await admin.post(CHAT, json={}, params={"project": "default"})
    assert sorted(project for _, project in await entries(api)) == ["default", "other"]
    assert (await api.client(Role.VIEWER).post(CHAT, json={}, params={"project": "other"})).status_code == 404
    assert (await admin.post(CHAT, json={}, params={"project": "missing"})).status_code == 404
    assert (await api.client(Role.AUDITOR).post(CHAT, json={})).status_code == 403


async def test_a_fresh_key_is_tried_until_the_gateway_knows_it(api: Api, upstream: Upstream):
    upstream.accept_all = False
    asked = asyncio.ensure_future(api.client(Role.VIEWER).post(CHAT, json={}))
    await upstream.asked.wait()
    upstream.known_keys.add(upstream.keys[0])
    assert (await asked).status_code == 200
    # ended since, e.g. with another role: a new one is made
    upstream.known_keys.clear()
    api.parts.clock.advance(60)
    upstream.asked.clear()
    asked = asyncio.ensure_future(api.client(Role.VIEWER).post(CHAT, json={}))
    await upstream.asked.wait()  # with the old key
    upstream.asked.clear()
    await upstream.asked.wait()
    upstream.known_keys.add(upstream.keys[-1])
    assert (await asked).status_code == 200


@pytest.mark.parametrize(
    "path", ["metrics", "internal/x", "v1/../metrics", "v1//x", "v1", "v1/", "v1/%2e%2e/metrics", "v1/a/%252e%252e/x"]
)
async def test_only_the_gateways_public_addresses_are_reached(api: Api, upstream: Upstream, path: str):
    assert (await api.client().get(f"/api/v1/playground/{path}")).status_code in (404, 422)
    assert upstream.seen == []


async def test_an_answer_never_becomes_a_page_of_the_console(api: Api, upstream: Upstream):
    upstream.answer_type, upstream.chunks = "text/html", [b"<script>alert(1)</script>"]
    assert (await api.client().post(CHAT, json={})).headers["content-type"] == "application/octet-stream"


async def test_requests_without_end_are_cut_off(api: Api, upstream: Upstream):
    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * (MAX_BODY_BYTES // 32)

    answer = await api.client().post(CHAT, content=body())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert upstream.seen == []


async def test_a_gateway_that_is_down_is_said_so(sqlite: Database):
    async with connect_gateway("http://127.0.0.1:9") as client:

        def cases(parts: Parts) -> dict[type, object]:
            return {Playground: Playground(parts.database, parts.clock, parts.bell, PEPPER, client)}

        async with serve_api(cases, database=sqlite) as api:
            await add_project(sqlite, api.parts.clock, "default")
            answer = await api.client().post(CHAT, json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "gateway" in answer.json()["error"]["message"]


@pytest.mark.parametrize("answers", [True, False], ids=["while it streams", "before the first byte"])
async def test_who_leaves_takes_the_engines_work_along(api: Api, upstream: Upstream, answers: bool):
    upstream.endless, upstream.silent = answers, not answers
    await api.client(Role.VIEWER).get("/api/v1/version")
    request = OpenRequest(api.app, "POST", CHAT, "viewer-default", b"{}")
    await upstream.asked.wait()
    if answers:
        await request.read_until(b"data: 1")
    await request.leave()
    await asyncio.wait_for(upstream.left.wait(), 5)


@pytest.mark.parametrize(
    "path",
    ["v1/files", "v1/files/file_1/content", "v1/batches", "v1/%2e/files", "v1/%252e/files", "v1/%2566iles"],
)
async def test_whoever_may_try_a_model_reads_no_files_by_it(api: Api, upstream: Upstream, path: str):
    answer = await api.client(Role.VIEWER).get(f"/api/v1/playground/{path}")
    assert answer.status_code == 422
    assert not upstream.seen
