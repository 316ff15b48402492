"""The runner itself: agents carry everything, Ray says at once which nodes are dead and keeps agents running."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aicp.core.launch import ObservedReplica, ReplicaLaunch, ReplicaResize
from aicp.core.node import EnvironmentStatus, NodeStatus
from aicp.runners.base import AgentAddress
from aicp.runners.ray.options import RayOptions
from aicp.runners.ray.tending import PAPERS_CHANGED

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_HEAD_SECONDS = 1.0
QUIET_SECONDS = 30.0
"""So long after all of Ray took new papers its word about deaths does not count: every machine's Ray starts anew."""
_CONNECTION = (sys.executable, "-m", "aicp.runners.ray.connection")
_LIBRARY_VARIABLES = ("PATH", "HOME", "PYTHONPATH", "TMPDIR", "LANG")


class RayRunner:
    """Everything is done by the agents of `agents`, a runner that reaches them.

    A node is dead here when Ray says so and its agent is silent too: an agent that answers serves, whatever became of
    the Ray beside it. One that answers after Ray's word is no longer dead by that word: a machine whose network is back
    has its Ray started anew, and its agent with it, which shall cost no replica.
    """

    def __init__(self, agents: Any, options: RayOptions, connection: Sequence[str] = _CONNECTION) -> None:
        self._agents = agents
        self._options = options
        self._command = connection
        self._ring: Callable[[], None] = lambda: None
        self._dead: dict[str, str] = {}
        self._refuted: set[str] = set()
        self._quiet_until = 0.0
        self.connected = False
        """Whether Ray's head has told of its nodes over the present connection."""
        self._listening: asyncio.Task[None] | None = None

    async def nodes(self) -> list[NodeStatus]:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        said_before = set(self._dead)  # an answer from before a death says nothing against it
        seen: list[NodeStatus] = await self._agents.nodes()
        self._refuted |= {status.node_id for status in seen} & said_before & set(self._dead)
        return seen

    def dead(self) -> Mapping[str, str]:
        """See KnowsDeadNodes."""
        if time.monotonic() < self._quiet_until:
            return {}
        return {name: reason for name, reason in self._dead.items() if name not in self._refuted}

    async def head_answers(self) -> bool:
        """See HasHead."""
        host, _, port = self._options.head.rpartition(":")
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:  # among them the end of the time
            return False
        writer.close()
        return True

    def set_agents(self, agents: Sequence[AgentAddress]) -> None:
        """See TakesAgents."""
        self._agents.set_agents(agents)

    def on_change(self, ring: Callable[[], None]) -> None:
        """See Watches."""
        self._ring = ring

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        return await self._agents.start(launch)

    async def observe(self) -> list[ObservedReplica]:
        return await self._agents.observe()

    async def resize(self, wanted: ReplicaResize) -> ObservedReplica:
        """See Resizes."""
        return await self._agents.resize(wanted)

    async def stop(self, replica_id: str, generation: int, grace_seconds: float) -> None:
        await self._agents.stop(replica_id, generation, grace_seconds)

    def reporters(self) -> Collection[str]:
        """See TellsReporters."""
        return self._agents.reporters()

    def log(
        self, replica_id: str, *, tail: int = 100, follow: bool = False, node_id: str | None = None
    ) -> AsyncIterator[str]:
        """See StreamsLogs."""
        return self._agents.log(replica_id, tail=tail, follow=follow, node_id=node_id)

    async def environments(self, node_id: str) -> list[EnvironmentStatus]:
        """See KeepsEnvironments."""
        return await self._agents.environments(node_id)

    async def install_environment(self, node_id: str, engine: str, version: str, variant: str) -> EnvironmentStatus:
        """See KeepsEnvironments."""
        return await self._agents.install_environment(node_id, engine, version, variant)

    async def remove_environment(self, node_id: str, engine: str, version: str, variant: str) -> None:
        """See KeepsEnvironments."""
        await self._agents.remove_environment(node_id, engine, version, variant)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await self._agents.close()

    async def _listen(self) -> None:
        """Ray's library ends its process when the head stays away; a new one is started until it answers again."""
        while True:
            try:
                await self._listen_once()
            except OSError as error:
                log.warning("the connection to Ray cannot be started: %s", error)
            self.connected = False
            # nobody hears of their return now: the silence of agents is what counts until Ray answers
            self._dead = {}
            self._refuted.clear()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen_once(self) -> None:
        member = self._options.member
        papers = _read(member.authority)
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=_inherited() | member.environment(self._options.reconnect_seconds),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            wish = {"parent": os.getpid(), "head": self._options.head}
            process.stdin.write(f"{json.dumps(wish)}\n".encode())
            async for line in process.stdout:
                self._hear(line)
            # a head with new papers kills what spoke to the one before, mostly before it has seen them itself
            if await process.wait() == PAPERS_CHANGED or _read(member.authority) != papers:
                self._quiet_until = time.monotonic() + QUIET_SECONDS
            log.info("the connection to Ray's head ended and is made again")
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _hear(self, line: bytes) -> None:
        try:
            said: dict[str, str] = json.loads(line)
        except ValueError:
            return  # the library itself wrote to its standard output
        dead = {name: reason for name, reason in said.items() if reason}
        for name, reason in dead.items():
            if name not in self._dead:
                log.warning("Ray says that node %s is dead: %s", name, reason)
        self._dead = dead
        self._refuted &= set(dead)
        self.connected = True
        self._ring()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _inherited() -> dict[str, str]:
    return {name: text for name in _LIBRARY_VARIABLES if (text := os.getenv(name)) is not None}
