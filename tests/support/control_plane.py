"""The control plane as a gateway process sees it: a route table by long poll, an intake of usage, heartbeats."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.support.http_wire import Asked, read_request

from aicp.core.route import RouteTable
from aicp.core.usage import UsageRecord

TOKEN = "internal-token-of-the-test"
UNKNOWN = {name: None for name, field in UsageRecord.model_fields.items() if not field.is_required()}
"""What is not known of a request is not in its record."""


@dataclass
class ControlPlane:
    """What it serves, and what it was told."""

    port: int = 0
    table: RouteTable | None = None
    tls: ssl.SSLContext | None = None
    usage: list[dict[str, Any]] = field(default_factory=list)
    """Every record that was accepted, in order; a batch that came before counts once."""
    repeated: int = 0
    batches: set[tuple[str, int]] = field(default_factory=set)
    beats: list[dict[str, Any]] = field(default_factory=list)
    watched: dict[str, bool] = field(default_factory=dict)
    """What somebody looks at of the present."""
    refuse_usage: bool = False
    lose_usage_answers: int = 0
    """So many batches are taken in without the gateway learning of it."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Every request's bodies that were accepted, also those that came before."""
    refuse_bodies: bool = False
    lose_body_answers: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    heads: Counter[str] = field(default_factory=Counter)
    """Requests whose head has come, by path."""
    cut: int = 0
    """Requests that ended in their body."""
    passed_on: list[Asked] = field(default_factory=list)
    """Requests for files and batches; the answer tells what came."""
    file: bytes = b""
    """What `GET .../content` answers."""
    refuse_files: bool = False
    """Before their body has come."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where the gateway finds it."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def publish(self, table: RouteTable) -> None:
        """A new table."""
        self.table = table
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def outcome(self, request_id: str) -> str:
        """How a request ended, by its record."""
        return next(record["outcome"] for record in self.usage if record["request_id"] == request_id)

    async def start(self) -> None:
        """Listens, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Gone, with all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (asked := await read_request(reader, unread=self._head_came)) is not None:
                status, value = await self._answer(asked)
                if status == 0:
                    break
                writer.write(_response(status, value))
                await writer.drain()
        except ConnectionError:
            pass
        except asyncio.IncompleteReadError:
            self.cut += 1
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, asked: Asked) -> tuple[int, Any]:
        self.paths[asked.path] += 1
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"error": {"message": "no"}}
        if asked.path.startswith(("/internal/v1/files", "/internal/v1/batches")):
            return self._pass_on(asked)
        if asked.path == "/internal/v1/routes":
            return await self._routes({name: values[0] for name, values in parse_qs(asked.query).items()})
        if asked.path == "/internal/v1/usage":
            return self._take(asked.json())
        if asked.path == "/internal/v1/request-bodies":
            return self._take_bodies(asked.json())
        if asked.path.startswith("/internal/v1/gateways/") and asked.path.endswith("/heartbeat"):
            self.beats.append(asked.json())
            return (200, self.watched) if self.watched else (204, None)
        if asked.path.startswith("/internal/v1/gateways/") and asked.path.endswith("/totals"):
            return 200, self._totals(asked.path.split("/")[4])
        return 404, {"error": {"message": asked.path}}

    def _head_came(self, asked: Asked) -> bool:
        self.heads[asked.path] += 1
        return self._refuses(asked)

    def _refuses(self, asked: Asked) -> bool:
        return self.refuse_files and asked.method == "POST" and asked.path == "/internal/v1/files"

    def _pass_on(self, asked: Asked) -> tuple[int, Any]:
        self.passed_on.append(asked)
        if self._refuses(asked):
            return 413, {"error": {"code": "file_quota", "message": "It does not fit.", "hint": "Remove some."}}
        if asked.path.endswith("/content"):
            return 200, self.file
        return 200, {"size": len(asked.body)}

    async def _routes(self, query: dict[str, str]) -> tuple[int, Any]:
        deadline = asyncio.get_running_loop().time() + float(query.get("wait", "0"))
        while self.table is None or self.table.etag == query.get("etag", ""):
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return 304, None
        return 200, asdict(self.table)

    def _totals(self, gateway_id: str) -> dict[str, Any]:
        """What was counted, all of it of this day, by key and project."""
        tokens, spent = Counter[str](), Counter[str]()
        for record in self.usage:
            for scope in (f"key:{record['api_key_id']}", f"project:{record['project']}"):
                tokens[scope] += (record["prompt_tokens"] or 0) + (record["completion_tokens"] or 0)
                spent[scope] += record["cost_micros"] or 0
        counts = (("scopes", tokens), ("spent", spent))
        totals = {name: {scope: {"day": n, "month": n} for scope, n in one.items()} for name, one in counts}
        sequence = max((number for name, number in self.batches if name == gateway_id), default=0)
        return {"at": time.time(), "sequence": sequence, **totals}

    def _take_bodies(self, batch: dict[str, Any]) -> tuple[int, Any]:
        if self.refuse_bodies:
            return 503, {"error": {"message": "not now"}}
        name = (f"{batch['gateway_id']} bodies", batch["sequence"])
        if name not in self.batches:
            self.bodies.extend(batch["records"])
        self.batches.add(name)
        if self.lose_body_answers:
            self.lose_body_answers -= 1
            return 0, None
        return 204, None

    def _take(self, batch: dict[str, Any]) -> tuple[int, Any]:
        if self.refuse_usage:
            return 503, {"error": {"message": "not now"}}
        name = (batch["gateway_id"], batch["sequence"])
        if name in self.batches:
            self.repeated += 1
        else:
            self.batches.add(name)
            self.usage.extend(UNKNOWN | record for record in batch["records"])
        if self.lose_usage_answers:
            self.lose_usage_answers -= 1
            return 0, None
        return 200, {"sequence": batch["sequence"]}


def _response(status: int, value: Any) -> bytes:
    if value is None:
        return b"HTTP/1.1 %d X\r\n\r\n" % status
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def run_control(table: RouteTable | None = None) -> AsyncIterator[ControlPlane]:
    """A control plane for the time of a test."""
    control = ControlPlane(table=table)
    await control.start()
    try:
        yield control
    finally:
        await control.stop()
