"""A gateway without sockets: what its client's and its engine's connection would bring is called by the test."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.support.clock import FakeClock
from tests.support.gateway_process import PEPPER, entry_of, new_secret
from tests.support.http_wire import request

from aicp.core.route import RouteEntry, RouteTable, Target
from aicp.gateway.admission import Admission
from aicp.gateway.api_keys import Key
from aicp.gateway.client_connection import ClientConnection
from aicp.gateway.config import Limits
from aicp.gateway.gateway import Gateway
from aicp.gateway.live import Connections
from aicp.gateway.metrics import Metrics
from aicp.gateway.outbox import Outbox
from aicp.gateway.replicas import Replica
from aicp.gateway.requests import RequestIds
from aicp.gateway.routes import Routes
from aicp.gateway.site import Site
from aicp.gateway.upstream import UpstreamConnection
from aicp.gateway.usage import UsageLog, closed_records, segments
from aicp.security.keys import encode_pepper

ANSWER = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'


@dataclass
class Wire:
    """A transport that keeps what is written, or waits to be written in `outbox`."""

    outbox: Outbox
    kept: bytes = b""
    ended: bool = False
    reading: list[bool] = field(default_factory=list)

    @property
    def written(self) -> bytes:
        """All that was sent so far."""
        self.outbox.flush()
        return self.kept

    @written.setter
    def written(self, data: bytes) -> None:
        self.outbox.flush()
        self.kept = data

    def write(self, data: bytes) -> None:
        self.kept += data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1)

    def abort(self) -> None:
        self.ended = True

    close = abort

    def is_closing(self) -> bool:
        return self.ended

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading.append(False)

    def resume_reading(self) -> None:
        self.reading.append(True)


@dataclass
class Bench:
    """A gateway without sockets: `client` and `engine` are the two ends."""

    client: ClientConnection
    client_wire: Wire
    engine: UpstreamConnection
    engine_wire: Wire
    key: str
    directory: Path
    routes: Routes
    table: RouteTable
    metrics: Metrics
    gateway: Gateway
    replica: Replica

    def ask(self, path: str, **fields: Any) -> None:
        self.client.data_received(request("POST", path, {"model": "demo", **fields}, key=self.key))

    def answer(self, body: bytes = ANSWER) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.engine.data_received(head + body)

    def records(self) -> list[dict[str, Any]]:
        found = [line for _, path in segments(self.directory) for line in closed_records(path.read_bytes())]
        return [json.loads(line) for line in found]


def make_bench(folder: Path, clock: FakeClock) -> Bench:
    """One route, `demo`, to one engine that answers chat only; its one connection is idle. Needs a running loop."""
    secret = new_secret()
    target = Target("rep_1", "unix:/nowhere")
    route = RouteEntry("demo", "demo", None, "chat", "vllm", "demo", ["/v1/chat/completions"], ["priority"], [target])
    routes = Routes(folder / "routes.json")
    table = RouteTable("1", encode_pepper(PEPPER), [entry_of(secret)], [route])
    routes.swap(table)
    metrics, loop = Metrics(), asyncio.get_running_loop()
    site = Site(UsageLog(folder), metrics, clock, lambda: 0.0, Limits())
    admission = Admission(clock, lambda seconds, ring: loop.call_later(seconds, ring).cancel, metrics.waits)
    routes.observe(admission.follow)
    gateway = Gateway(site, routes, admission, "internal", dict, RequestIds())
    client, client_wire = ClientConnection(gateway, Connections(), loop), Wire(site.outbox)
    client.connection_made(cast(asyncio.Transport, client_wire))
    assert routes.table is not None
    found = routes.table.find("demo", Key(entry_of(secret)))
    assert found is not None
    replica = found.replicas[0]
    engine, engine_wire = UpstreamConnection(replica.pool), Wire(site.outbox)
    engine.connection_made(cast(asyncio.Transport, engine_wire))
    replica.pool.give(engine)
    return Bench(client, client_wire, engine, engine_wire, secret, folder, routes, table, metrics, gateway, replica)
