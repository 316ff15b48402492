"""A new table is in use at once, however slow or full the disk is; a key that was revoked serves nothing more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import FakeClock
from tests.support.control_plane import TOKEN, ControlPlane
from tests.support.gateway_bench import Bench
from tests.support.gateway_process import GatewayProcess, entry_of, new_secret, table_of, until, without_key
from tests.support.http_wire import request

from aicp.core.live import NOBODY, LiveReport, Watched
from aicp.core.route import RouteTable
from aicp.gateway.following import Following
from aicp.gateway.routes import Routes

PATH = "/v1/chat/completions"


class Tables:
    """A control plane that publishes what the test gives it."""

    def __init__(self) -> None:
        self.next: asyncio.Queue[RouteTable] = asyncio.Queue()

    async def routes(self, etag: str = "", *, wait_seconds: float = 30.0) -> RouteTable | None:
        return await self.next.get()

    async def heartbeat(
        self,
        gateway_id: str,
        etag: str,
        inflight: Mapping[str, int],
        started_at: datetime | None = None,
        facts: Mapping[str, Any] | None = None,
        live: LiveReport | None = None,
    ) -> Watched:
        return NOBODY


async def test_a_save_that_takes_for_ever_delays_no_later_table(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes, control, go_on = Routes(tmp_path / "routes.json"), Tables(), threading.Event()
    save, saving = Routes.save, list[str]()

    def slowly(self: Routes, raw: RouteTable) -> None:
        saving.append(raw.etag)
        assert go_on.wait(30)
        save(self, raw)

    monkeypatch.setattr(Routes, "save", slowly)
    following = Following(routes, control, "gw", clock)
    jobs = [asyncio.ensure_future(job) for job in (following.follow(), following.keep())]
    table = table_of([], [entry_of(new_secret())])
    control.next.put_nowait(table)
    await until(lambda: saving == ["1"])
    for etag in ("2", "3"):
        control.next.put_nowait(without_key(table, etag))
    await until(lambda: routes.etag == "3")
    assert saving == ["1"], "still at the first"
    go_on.set()
    await until(lambda: saving == ["1", "3"])
    again = Routes(tmp_path / "routes.json")
    await until(lambda: again.load() and again.etag == "3")
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def test_a_table_that_cannot_be_saved_is_in_use_and_told(gateway: GatewayProcess, control: ControlPlane) -> None:
    async def kept() -> bool:
        text = (await gateway.ask("/metrics", method="GET", key=TOKEN)).body
        return b"aicp_gateway_route_table_kept 1\n" in text

    assert control.table is not None
    assert await kept()
    await until(lambda: (gateway.directory / "routes.json").exists())  # the first table is not under way any more
    obstacle = gateway.directory / ".routes.json.new"
    obstacle.mkdir()
    control.publish(without_key(control.table, "2"))
    for _ in range(200):
        if (await gateway.ask("/v1/models", method="GET")).status == 401:
            break
        await asyncio.sleep(0.05)
    assert (await gateway.ask("/v1/models", method="GET")).status == 401
    await until(lambda: any("cannot be kept" in line for line in gateway.lines))
    assert not await kept()
    obstacle.rmdir()
    for _ in range(200):
        if await kept():
            break
        await asyncio.sleep(0.05)
    assert b'"etag":"2"' in (gateway.directory / "routes.json").read_bytes()


async def test_a_key_revoked_while_its_body_arrives_is_refused(bench: Bench) -> None:
    data = request("POST", PATH, {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}, key=bench.key)
    bench.client.data_received(data[:-5])
    bench.routes.swap(replace(bench.table, etag="2", keys=[]))
    bench.client.data_received(data[-5:])
    assert bench.client_wire.written.startswith(b"HTTP/1.1 401 ")
    assert not bench.engine_wire.written
    assert [(record["outcome"], record["status"]) for record in bench.records()] == [("rejected", 401)]


async def test_a_key_revoked_while_the_request_before_is_served_is_refused(bench: Bench) -> None:
    data = request("POST", PATH, {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}, key=bench.key)
    bench.client.data_received(data + data)
    bench.routes.swap(replace(bench.table, etag="2", keys=[]))
    bench.answer()
    await until(lambda: b"HTTP/1.1 401 " in bench.client_wire.written)
    assert bench.client_wire.written.startswith(b"HTTP/1.1 200 ")
    assert bench.engine_wire.written.count(b"POST") == 1


async def test_a_key_of_a_newer_table_is_the_same_key(bench: Bench) -> None:
    data = request("POST", PATH, {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}, key=bench.key)
    bench.client.data_received(data[:-5])
    bench.routes.swap(replace(bench.table, etag="2"))
    bench.client.data_received(data[-5:])
    bench.answer()
    assert bench.client_wire.written.startswith(b"HTTP/1.1 200 ")
