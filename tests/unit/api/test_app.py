"""The frame around every request."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import APIRouter, Request
from tests.support.api import Api, serve_api

from aicp.api.access import SESSION_COOKIE, CallerDep, permits
from aicp.api.app import LOOPBACK_HOSTS, MAX_BODY_BYTES
from aicp.core.identity import Permission, Role

probe = APIRouter()


@probe.post("/api/v1/probe", dependencies=[permits(Permission.NODE_WRITE)])
async def probe_write(body: dict[str, object], caller: CallerDep) -> str:
    return caller.user


@probe.put("/api/v1/playground/probe")
async def probe_stream(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@probe.get("/api/v1/probe/crash")
async def probe_crash() -> str:
    raise RuntimeError("secret detail")


@pytest.fixture
async def api():
    async with serve_api(allowed_hosts=LOOPBACK_HOSTS) as served:
        served.app.include_router(probe)
        yield served


async def test_answers_carry_the_request_id_and_security_headers(api: Api):
    answer = await api.client(None).get("/api/v1/nothing", headers={"X-Request-Id": "mine-1"})
    assert answer.status_code == 404
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.json()["error"]["request_id"] == "mine-1"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_request_id_that_could_forge_log_lines_is_replaced(api: Api):
    answer = await api.client(None).get("/api/v1/nothing", headers={"X-Request-Id": "a b"})
    assert answer.headers["x-request-id"].startswith("req_")


async def test_without_a_session_it_is_401_and_without_the_permission_403(api: Api):
    assert (await api.client(None).post("/api/v1/probe", json={})).status_code == 401
    assert (await api.client(token="unknown").post("/api/v1/probe", json={})).status_code == 401
    refused = await api.client(Role.DEVELOPER).post("/api/v1/probe", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert (await api.client(Role.PLATFORM_ADMIN).post("/api/v1/probe", json={})).json() == "platform-admin"


async def test_a_change_by_cookie_needs_the_request_header(api: Api):
    api.client(Role.PLATFORM_ADMIN)
    cookie = {"Cookie": f"{SESSION_COOKIE}=platform-admin"}
    forged = await api.client(None).post("/api/v1/probe", json={}, headers=cookie)
    assert (forged.status_code, forged.json()["error"]["code"]) == (403, "request_header_missing")
    genuine = await api.client(None).post("/api/v1/probe", json={}, headers={**cookie, "X-AICP-Request": "1"})
    assert genuine.status_code == 200


async def test_large_bodies_are_413_unless_the_route_streams(api: Api):
    large = b'"' + b"x" * MAX_BODY_BYTES + b'"'
    admin = api.client(Role.PLATFORM_ADMIN)
    refused = await admin.post("/api/v1/probe", content=large, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert (await admin.put("/api/v1/playground/probe", content=large)).json() == len(large)

    async def chunks():
        for _ in range(5):
            yield b" " * (MAX_BODY_BYTES // 4)

    undeclared = await admin.post("/api/v1/probe", content=chunks(), headers={"Content-Type": "application/json"})
    assert undeclared.status_code == 413


async def test_deep_json_and_broken_json_are_400(api: Api):
    admin = api.client(Role.PLATFORM_ADMIN)
    for body in ("[" * 100_000, '{"a":'):
        answer = await admin.post("/api/v1/probe", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")


async def test_unknown_hosts_are_421(api: Api):
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil:80", ""):
        answer = await api.client(None).get("/api/v1/nothing", headers={"Host": host})
        assert answer.status_code == 421, host
        assert answer.headers["x-request-id"] == answer.json()["error"]["request_id"]
    for host in ("LOCALHOST:8600", "[::1]:8600", "127.0.0.1"):
        assert (await api.client(None).get("/api/v1/nothing", headers={"Host": host})).status_code == 404


async def test_an_unexpected_error_tells_its_id_and_nothing_else(api: Api):
    answer = await api.client(None).get("/api/v1/probe/crash", headers={"X-Request-Id": "crash-1"})
    assert answer.status_code == 500
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"] == "crash-1"
    assert "secret detail" not in answer.text


async def test_the_console_is_served_with_its_page_for_every_view(tmp_path: Path):
    console = tmp_path / "console"
    (console / "assets").mkdir(parents=True)
    (console / "index.html").write_text("<html>console</html>")
    (console / "assets" / "app-1a2b.js").write_text("code")
    (tmp_path / "secret").write_text("secret")
    async with serve_api(console_dir=console) as api:
        client = api.client(None)
        for view in ("/", "/services/demo", "/../secret", "/%2e%2e/secret", "/..%2fsecret"):
            answer = await client.get(view)
            assert (answer.status_code, answer.text) == (200, "<html>console</html>"), view
            assert answer.headers["cache-control"] == "no-cache"
        script = await client.get("/assets/app-1a2b.js")
        assert script.text == "code"
        assert "immutable" in script.headers["cache-control"]
        assert (await client.get("/assets/gone.js")).status_code == 404
        assert (await client.get("/api/v1/gone")).json()["error"]["code"] == "not_found"


async def test_the_contract_is_clean_and_names_the_permission():
    async with serve_api(allowed_hosts=LOOPBACK_HOSTS) as api:
        api.app.include_router(probe)
        assert (await api.client(None).get("/api/v1/openapi.json")).status_code == 401
        contract = (await api.client(Role.VIEWER).get("/api/v1/openapi.json")).json()
    ids = [operation["operationId"] for path in contract["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert "probe_write" in ids
