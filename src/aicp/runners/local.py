"""Replicas as processes under the agents of listed nodes, this machine being the first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aicp.client.agent import AgentClient
from aicp.core.errors import InvalidError, NotFoundError, UnavailableError
from aicp.core.launch import ObservedReplica, ReplicaLaunch, ReplicaResize
from aicp.core.node import EnvironmentStatus, NodeStatus
from aicp.runners.base import AgentAddress


class LocalRunner:
    """Talks to every agent of its list; which node answers at which address is learned by asking."""

    def __init__(self, clients: Sequence[AgentClient]) -> None:
        self._clients = list(clients)
        self._by_node: dict[str, AgentClient] = {}
        self._holders: dict[str, AgentClient] = {}

    async def nodes(self) -> list[NodeStatus]:
        answers = await asyncio.gather(*(client.node() for client in self._clients), return_exceptions=True)
        found: list[NodeStatus] = []
        for client, answer in zip(self._clients, answers, strict=True):
            if isinstance(answer, NodeStatus):
                self._by_node[answer.node_id] = client
                found.append(answer)
            elif not isinstance(answer, UnavailableError):
                raise answer
        return found

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        if len(launch.members) != 1:
            raise InvalidError(
                f"Replica {launch.replica_id} spans {len(launch.members)} nodes; this runner starts it on one node.",
                hint="Publish on fewer accelerators, so that one node holds the replica.",
            )
        return await (await self._client(launch.members[0].node_id)).start(launch)

    async def observe(self) -> list[ObservedReplica]:
        answers = await asyncio.gather(*(client.replicas() for client in self._clients), return_exceptions=True)
        found: list[ObservedReplica] = []
        for client, answer in zip(self._clients, answers, strict=True):
            if isinstance(answer, list):
                found.extend(answer)
                others = {key: holder for key, holder in self._holders.items() if holder is not client}
                self._holders = others | {replica.replica_id: client for replica in answer}
            elif not isinstance(answer, UnavailableError):
                raise answer
        return found

    async def resize(self, wanted: ReplicaResize) -> ObservedReplica:
        """See Resizes."""
        return await (await self._client(wanted.allocation.node_id)).resize(wanted)

    async def stop(self, replica_id: str, generation: int, grace_seconds: float) -> None:
        # A node that is known to hold it is asked alone: others that are silent do not matter.
        holder = self._holders.get(replica_id)
        clients = self._clients if holder is None else [holder]
        stops = (client.stop(replica_id, generation=generation, grace_seconds=grace_seconds) for client in clients)
        await asyncio.gather(*stops)

    async def log(self, replica_id: str, *, tail: int = 100, follow: bool = False) -> AsyncIterator[str]:
        silent: UnavailableError | None = None
        for client in self._clients:
            # Asked for the log itself: a node keeps it long after it has ceased to report the replica.
            try:
                async for piece in client.log(replica_id, tail=tail, follow=follow):
                    yield piece
                return
            except NotFoundError:
                continue
            except UnavailableError as error:
                silent = error
        raise silent or NotFoundError(f"No node knows a replica {replica_id!r}.")

    async def environments(self, node_id: str) -> list[EnvironmentStatus]:
        """Every engine environment on a node."""
        return await (await self._client(node_id)).environments()

    async def install_environment(self, node_id: str, engine: str, version: str, variant: str) -> EnvironmentStatus:
        """Begins a build on a node; returns at once."""
        return await (await self._client(node_id)).install(engine, version, variant)

    async def remove_environment(self, node_id: str, engine: str, version: str, variant: str) -> None:
        """Removes an environment of a node, or cancels its build."""
        await (await self._client(node_id)).remove_environment(engine, version, variant)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    async def _client(self, node_id: str) -> AgentClient:
        if node_id not in self._by_node:
            await self.nodes()
        client = self._by_node.get(node_id)
        if client is None:
            raise UnavailableError(
                f"No agent answers for node {node_id!r}.", hint="Start the platform on that node, then try again."
            )
        return client


class LocalRunnerDriver:
    """Makes a LocalRunner over unix sockets or URLs."""

    def connect(self, agents: Sequence[AgentAddress], options: Mapping[str, Any] | None = None) -> LocalRunner:
        """See RunnerDriver."""
        return LocalRunner([AgentClient(agent.address, agent.token) for agent in agents])


driver = LocalRunnerDriver()
