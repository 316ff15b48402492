"""A gateway in a process of its own, as it runs in the platform, with everything around it under the test's hand."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.control_plane import TOKEN, ControlPlane
from tests.support.http_wire import Answer, read_answer, request
from tests.support.openai_engine import Engine

from aicp.core.route import KeyEntry, RouteEntry, RouteTable, Target
from aicp.security.keys import key_digest, make_key

PEPPER = bytes(range(32))
ENDPOINTS = {
    "chat": ["/v1/chat/completions", "/v1/completions"],
    "embedding": ["/v1/embeddings"],
    "rerank": ["/v1/rerank"],
}
_PROGRAM = """
import json, sys, uvloop
from pathlib import Path
from aicp.gateway.config import GatewayConfig, Limits, MediaRules, SharingRules, TraceRules
from aicp.gateway.server import serve
from aicp.security.tls_identity import TlsIdentity
values = json.loads(sys.argv[1])
for name in ("directory", "tls_certificate", "tls_key", "control_certificate"):
    if values.get(name):
        values[name] = Path(values[name])
values["limits"] = Limits(**values.get("limits", {}))
values["media"] = MediaRules(**values.get("media", {}))
values["sharing"] = SharingRules(**values.get("sharing", {}))
values["traces"] = TraceRules(**values["traces"]) if "traces" in values else None
if "cluster" in values:
    values["cluster"] = TlsIdentity.kept(Path(values["cluster"]), "gateway")
uvloop.run(serve(GatewayConfig(**values)))
"""


def entry_of(secret: str, *, project: str = "default", models: list[str] | None = None) -> KeyEntry:
    """The row that a table holds of a key."""
    return KeyEntry(id=f"key_{secret.split('-')[1]}", digest=key_digest(PEPPER, secret), project=project, models=models)


def route_to(
    engines: Sequence[Engine],
    name: str = "demo",
    *,
    type: str = "chat",
    project: str | None = "default",
    endpoints: list[str] | None = None,
) -> RouteEntry:
    """A route over `engines`, which know the model as `inner`."""
    return RouteEntry(
        name=name,
        service=name,
        project=project,
        type=type,
        engine="test",
        upstream_model="inner",
        endpoints=ENDPOINTS[type] if endpoints is None else endpoints,
        refused_fields=["priority", "chat_template"],
        targets=[Target(f"rep_{engine.path.stem}", engine.address, token="engine-token") for engine in engines],
        context_length=4096,
        created_at=1.0,
    )


def table_of(routes: Sequence[RouteEntry], keys: Sequence[KeyEntry], etag: str = "1") -> RouteTable:
    """A table as the control plane makes it."""
    return RouteTable(etag, base64.b64encode(PEPPER).decode(), list(keys), list(routes))


def without_key(table: RouteTable, etag: str) -> RouteTable:
    """The table after every key was revoked."""
    return replace(table, etag=etag, keys=[])


@dataclass
class GatewayProcess:
    """One gateway; `key` opens it. It may be killed and started again on the same directory and port."""

    directory: Path
    control: ControlPlane
    port: int
    key: str
    options: dict[str, Any] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    lines: list[str] = field(default_factory=list)
    former: list[asyncio.subprocess.Process] = field(default_factory=list)
    """Processes that others have taken over from, and that end by themselves."""
    _reading: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """Without a path."""
        return f"{'https' if self.options.get('tls_certificate') else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns when it accepts connections."""
        self.process = await self._spawn()
        async with asyncio.timeout(20):
            while True:
                if await self._accepts():
                    return
                await asyncio.sleep(0.02)

    async def restart(self) -> None:
        """Another process takes over; returns when it serves."""
        assert self.process is not None
        ready, told = os.pipe()
        os.set_blocking(ready, False)
        try:
            successor = await self._spawn(takes_over=self.process.pid, ready_descriptor=told)
            os.close(told)
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(ready, "rb", 0))
            assert await asyncio.wait_for(reader.read(5), 20) == b"ready", "\n".join(self.lines)
        finally:
            self.former.append(self.process)
        self.process = successor

    async def _spawn(self, **more: Any) -> asyncio.subprocess.Process:
        values = {
            "host": "127.0.0.1",
            "port": self.port,
            "directory": str(self.directory),
            "control_url": self.control.url,
            "internal_token": TOKEN,
            **self.options,
            **more,
        }
        program = [sys.executable, "-c", _PROGRAM, json.dumps(values)]
        kept = (more["ready_descriptor"],) if more else ()
        process = await asyncio.create_subprocess_exec(
            *program, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, pass_fds=kept
        )
        self._reading.append(asyncio.ensure_future(self._read(process)))
        return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.lines.append(line.decode().rstrip())

    async def _accepts(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, "\n".join(self.lines)
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it; its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        status = await asyncio.wait_for(self.process.wait(), 40)
        for process in self.former:
            if process.returncode is None:
                process.send_signal(number)
            await asyncio.wait_for(process.wait(), 40)
        await asyncio.gather(*self._reading)
        return status

    async def with_table(self, etag: str) -> None:
        """Returns when the gateway uses the table `etag`."""
        await until(lambda: any(beat["etag"] == etag for beat in self.control.beats[-1:]))

    async def add_route(self, route: RouteEntry) -> None:
        """Publishes one more route and returns when it is there."""
        table = self.control.table
        assert table is not None
        self.control.publish(replace(table, etag=f"{table.etag}+", routes=[*table.routes, route]))
        await self.with_table(f"{table.etag}+")

    async def ask(self, path: str, body: Any = b"", *, method: str = "POST", **options: Any) -> Answer:
        """One request on a connection of its own, with the key unless another is given."""
        reader, writer = await self.connect()
        try:
            writer.write(request(method, path, body, **{"key": self.key, **options}))
            return await asyncio.wait_for(read_answer(reader), 20)
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)

    async def recorded(self, count: int) -> list[dict[str, Any]]:
        """The usage records, once there are `count`."""
        await until(lambda: len(self.control.usage) >= count)
        return self.control.usage

    async def shipped(self) -> None:
        """Returns when no record of a request that has ended is left in its log."""
        await until(lambda: not any(_holds_closings(path) for path in self.directory.glob("usage-*.log")))

    def pss_mb(self) -> float:
        """Its proportional memory in MiB."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))) / 1024


def _holds_closings(segment: Path) -> bool:
    try:
        return b"\n-" in b"\n" + segment.read_bytes()
    except FileNotFoundError:
        return False  # shipped between the look and the read


async def until(condition: Any, seconds: float = 10.0) -> None:
    """Waits for something that must come true."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def free_port() -> int:
    """A loopback port that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def run_gateway(
    directory: Path, control: ControlPlane, key: str, **options: Any
) -> AsyncIterator[GatewayProcess]:
    """A gateway for the time of a test, started on what `control` publishes."""
    gateway = GatewayProcess(directory, control, free_port(), key, options)
    await gateway.start()
    try:
        if control.table is not None:
            await gateway.with_table(control.table.etag)
        yield gateway
    finally:
        if gateway.process is not None and gateway.process.returncode is None:
            os.kill(gateway.process.pid, signal.SIGKILL)
            await gateway.stop(signal.SIGKILL)
    assert not [line for line in gateway.lines if "Traceback" in line], "\n".join(gateway.lines)


def new_secret() -> str:
    """A fresh API key."""
    return make_key().secret
