"""A real agent for tests, and launches of the tiny engine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from aicp.client.agent import AgentClient
from aicp.core.errors import UnavailableError
from aicp.core.launch import (
    Allocation,
    HealthCheck,
    LaunchSpec,
    ObservedReplica,
    ReplicaLaunch,
    ReplicaMember,
    ReplicaState,
)

T = TypeVar("T")
TINY_HEALTH = HealthCheck(interval_seconds=0.05, timeout_seconds=1.0, start_timeout_seconds=20.0)
TINY_ENGINE = Path(__file__).with_name("tiny_engine.py")


async def eventually(what: str, check: Callable[[], Awaitable[T]], *, seconds: float = 30) -> T:
    """The first truthy answer of `check`; fails with `what` and the last answer when none comes in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = await check()
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}; last: {value!r}"
        await asyncio.sleep(0.03)


def tiny_launch(
    node_id: str,
    *options: str,
    replica_id: str = "rep_1",
    generation: int = 1,
    listen: str = "unix",
    cpu_cores: float = 1.0,
    memory_bytes: int = 512 * 1024 * 1024,
    **spec: Any,
) -> ReplicaLaunch:
    """One replica of the tiny engine."""
    where = "{listen}" if listen == "unix" else "{port}"
    launch = LaunchSpec(
        engine="tiny",
        engine_version="1",
        environment=False,
        command=["{python}", str(TINY_ENGINE), listen, where, *options],
        listen=listen,
        stop_grace_seconds=2.0,
        **{"enforcers": ["none"], "health": TINY_HEALTH, **spec},
    )
    allocation = Allocation(node_id=node_id, devices=[], cpu_cores=cpu_cores, memory_bytes=memory_bytes)
    member = ReplicaMember(node_id=node_id, launch=launch, allocation=allocation)
    return ReplicaLaunch(replica_id=replica_id, service="svc", generation=generation, members=[member])


class AgentProcess:
    """`aicp-server agent` on its own data directory."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        self.data_dir = data_dir
        self.replica_id = "rep_1"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AICP_")},
            "AICP_DATA_DIR": str(data_dir),
            "AICP_PORT": "1",
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.client: AgentClient | None = None

    async def start(self) -> AgentClient:
        """Starts the agent and waits until it answers."""
        self.spawn()
        return await self.connect()

    async def connect(self) -> AgentClient:
        """A client of the running agent, once it answers."""
        socket = self.data_dir / "agent" / "agent.sock"
        token = self.data_dir / "run" / "internal.token"

        async def answers() -> AgentClient | None:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            if not token.exists():
                return None
            client = AgentClient(f"unix:{socket}", token.read_text())
            try:
                await client.replicas()
            except UnavailableError:
                await client.close()
                return None
            return client

        self.client = await eventually("the agent answers", answers)
        return self.client

    def spawn(self) -> None:
        """Starts the process and waits for nothing."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "aicp.main.server", "agent"]
        with (self.data_dir.parent / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    async def node_id(self) -> str:
        assert self.client is not None
        return (await self.client.node()).node_id

    async def replica(self) -> ObservedReplica:
        """The replica `replica_id` as the agent sees it."""
        assert self.client is not None
        return next(seen for seen in await self.client.replicas() if seen.replica_id == self.replica_id)

    async def until(self, state: ReplicaState, *, seconds: float = 30) -> ObservedReplica:
        """Waits until the replica is in `state`."""

        async def check() -> ObservedReplica | None:
            seen = await self.replica()
            return seen if seen.state is state else None

        return await eventually(f"{self.replica_id} is {state}", check, seconds=seconds)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends a signal and waits for the end."""
        if self.process is not None:
            self.process.send_signal(number)
            await asyncio.to_thread(self.process.wait, 30)
            self.process = None
        if self.client is not None:
            await self.client.close()

    def log(self) -> str:
        return (self.data_dir.parent / "agent.log").read_text()
