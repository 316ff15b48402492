"""What gateways and agents ask of the control plane."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.api import serve_api
from tests.support.identity import add_project, identity_cases

from aicp.artifacts.blobs import Blobs
from aicp.control.routes import RouteTables
from aicp.core.route import KeyEntry, RouteTable
from aicp.store.database import Database
from aicp.store.gateways import Gateways


class OneTable:
    """A route source whose table changes when the test says so."""

    def __init__(self) -> None:
        self.table = RouteTable("e1", "cGVwcGVy", keys=[KeyEntry("key_a", "d", "default", expires_at=1.5)])
        self.changed = asyncio.Event()

    async def current(self) -> RouteTable:
        return self.table

    async def wait(self, etag: str, seconds: float) -> RouteTable | None:
        if self.table.etag == etag and seconds:
            await asyncio.wait_for(self.changed.wait(), seconds)
        return None if self.table.etag == etag else self.table


async def test_routes_are_given_at_once_or_when_they_change():
    source = OneTable()
    async with serve_api(lambda _: {RouteTables: source}) as api:
        client = api.internal()
        first = (await client.get("/internal/v1/routes")).json()
        assert first["etag"] == "e1"
        assert msgspec.convert(first["keys"], list[KeyEntry]) == source.table.keys
        same = await client.get("/internal/v1/routes", params={"etag": "e1", "wait": 0})
        assert (same.status_code, same.content) == (304, b"")
        waiting = asyncio.create_task(client.get("/internal/v1/routes", params={"etag": "e1", "wait": 30}))
        await asyncio.sleep(0)
        source.table = RouteTable("e2", "cGVwcGVy")
        source.changed.set()
        assert (await waiting).json()["etag"] == "e2"
        assert (await api.client().get("/internal/v1/routes")).status_code == 401
        assert (await api.client(None).get("/internal/v1/routes")).status_code == 401


async def test_without_an_internal_token_nobody_is_let_in():
    async with serve_api(lambda _: {RouteTables: OneTable()}) as api:
        api.app.state.internal_token = None
        for token in ("None", ""):
            answer = await api.client(None).get("/internal/v1/routes", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401


async def test_heartbeats_are_written_when_they_say_something_new_and_every_two_seconds(sqlite: Database):
    async with serve_api(identity_cases, database=sqlite) as api:
        clock = api.parts.clock

        async def beat(**inflight: int) -> None:
            body = {"etag": "e1", "inflight": inflight, "started_at": "2026-01-05T11:00:00Z"}
            answer = await api.internal().post("/internal/v1/gateways/gw_1/heartbeat", json=body)
            assert answer.status_code == 204

        async def written() -> tuple[dict[str, int], float]:
            async with sqlite.snapshot() as tx:
                (status,) = await Gateways(tx).live(clock.now())
            return status.inflight, (clock.now() - status.seen_at).total_seconds()

        with api.parts.bell.subscription("gateway") as rings:
            await beat(rep_1=1)
            clock.advance(1)
            await beat(rep_1=1)
            assert await written() == ({"rep_1": 1}, 1)  # nothing new: not written again
            await beat(rep_1=0)
            assert await written() == ({"rep_1": 0}, 0)
            clock.advance(2)
            await beat(rep_1=0)
            assert await written() == ({"rep_1": 0}, 0)
            assert rings.qsize() == 2


async def test_totals_hold_what_was_counted_of_limited_scopes_and_the_gateway_s_last_batch(sqlite: Database):
    async with serve_api(identity_cases, database=sqlite) as api:
        clock, client = api.parts.clock, api.client()
        await add_project(sqlite, clock, "default", "other")
        limited = {"name": "app", "limits": {"tokens_per_day": 100}}
        key = (await client.post("/api/v1/keys", json=limited)).json()["key"]["id"]
        await client.patch("/api/v1/organizations/default", json={"limits": {"tokens_per_month": 1000}})

        async def used(sequence: int, key_id: str, project: str, tokens: int, days_ago: int = 0) -> None:
            at = clock.now() - timedelta(days=days_ago)
            record = {"request_id": f"r{sequence}", "api_key_id": key_id, "project": project, "service": "s"}
            record |= {"endpoint": "/v1/x", "started_at": at.isoformat(), "outcome": "ok"}
            batch = {"gateway_id": "gw_1", "sequence": sequence, "records": [record | {"prompt_tokens": tokens}]}
            assert (await api.internal().post("/internal/v1/usage", json=batch)).status_code == 200

        async def totals(gateway: str = "gw_1") -> dict[str, Any]:
            return (await api.internal().get(f"/internal/v1/gateways/{gateway}/totals")).json()

        assert (await totals())["sequence"] == 0
        await used(1, key, "default", 5)
        await used(2, "another", "other", 7)
        await used(4, key, "default", 11, days_ago=1)
        await used(5, key, "default", 1000, days_ago=40)
        assert (await totals())["scopes"] == {
            f"key:{key}": {"day": 5, "month": 16},
            "organization:default": {"day": 12, "month": 23},
        }
        assert ((await totals())["sequence"], (await totals("gw_2"))["sequence"]) == (5, 0)
        assert (await totals())["at"] == clock.now().timestamp()


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        (None, 200, b"0123456789"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=2-3", 206, b"23"),
        ("bytes=-1", 206, b"9"),
        ("bytes=20-", 416, None),
    ],
)
async def test_files_are_given_whole_or_from_where_a_download_broke(
    tmp_path: Path, asked: str | None, status: int, content: bytes | None
):
    blobs = Blobs(tmp_path)
    digest = blobs.add_bytes(b"0123456789")
    async with serve_api(lambda _: {Blobs: blobs}) as api:
        headers = {"Range": asked} if asked else {}
        answer = await api.internal().get(f"/internal/v1/artifacts/{digest}", headers=headers)
        assert answer.status_code == status
        if content is not None:
            assert answer.content == content


async def test_unknown_files_and_names_that_are_no_digest_are_404(tmp_path: Path):
    async with serve_api(lambda _: {Blobs: Blobs(tmp_path)}) as api:
        for name in (sha256(b"unknown").hexdigest(), "..%2f..%2fsecret", "A" * 64):
            assert (await api.internal().get(f"/internal/v1/artifacts/{name}")).status_code == 404
