"""Replicas as processes under the agents of listed nodes, this machine being the first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

from aicp.client.agent import AgentClient
from aicp.core.errors import InvalidError, NotFoundError, UnavailableError
from aicp.core.launch import ObservedReplica, ReplicaLaunch, ReplicaResize
from aicp.core.members import merge_reports
from aicp.core.node import EnvironmentStatus, NodeStatus
from aicp.runners.base import AgentAddress

T = TypeVar("T")
_PATIENCE = 2.0
"""Seconds that an agent of a joined node is waited for."""


class LocalRunner:
    """Talks to every agent of its list; which node answers at which address is learned by asking.

    Agents of joined nodes come and go. One of them that is silent holds nobody up: it is waited for shortly, and then
    left out until it has answered what it was asked.
    """

    def __init__(self, clients: Sequence[AgentClient]) -> None:
        self._fixed = list(clients)
        self._joined: dict[str, AgentClient] = {}
        self._late: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._silent: set[str] = set()
        self._by_node: dict[str, AgentClient] = {}
        self._holders: dict[str, list[AgentClient]] = {}
        self._reporters: Collection[str] = frozenset()
        self._closing: set[asyncio.Task[None]] = set()

    def set_agents(self, agents: Sequence[AgentAddress]) -> None:
        """See TakesAgents."""
        wanted = {agent.address: agent for agent in agents}
        for address in self._joined.keys() - wanted.keys():
            self._forget(self._joined.pop(address))
            self._silent.discard(address)
        for address in wanted.keys() - self._joined.keys():
            self._joined[address] = client_of(wanted[address])

    @property
    def _clients(self) -> list[AgentClient]:
        return [*self._fixed, *self._joined.values()]

    async def nodes(self) -> list[NodeStatus]:
        found: list[NodeStatus] = []
        for client, answer in await self._ask_all("node", lambda client: client.node()):
            self._by_node[answer.node_id] = client
            found.append(answer)
        return found

    async def _ask_all(self, what: str, ask: Callable[[AgentClient], Awaitable[T]]) -> list[tuple[AgentClient, T]]:
        """The answers of those that answer. Raises what an agent answers in place of them."""
        asked: dict[AgentClient, asyncio.Future[T]] = {}
        for client in self._clients:
            late = self._late.get((client.address, what))
            if late is None or late.done():  # what came too late is old: it is asked anew
                self._late.pop((client.address, what), None)
                asked[client] = asyncio.ensure_future(ask(client))
        fixed = [task for client, task in asked.items() if client.address not in self._joined]
        joined = [task for client, task in asked.items() if client.address in self._joined]
        waits = (asyncio.wait(tasks, timeout=limit) for tasks, limit in ((fixed, None), (joined, _PATIENCE)) if tasks)
        await asyncio.gather(*waits)
        found: list[tuple[AgentClient, T]] = []
        for client, task in asked.items():
            if not task.done():
                self._silent.add(client.address)
                self._late[client.address, what] = cast("asyncio.Task[Any]", task)
                task.add_done_callback(_ignore)
            elif (error := task.exception()) is None:
                self._silent.discard(client.address)
                found.append((client, task.result()))
            elif not isinstance(error, UnavailableError):
                raise error
            else:
                self._silent.add(client.address)
        return found

    def _heard(self, client: AgentClient) -> AgentClient:
        """The client, unless it is a joined node's that was silent when asked last: nobody waits for that again.

        Raises UnavailableError.
        """
        if self._is_silent(client):
            raise UnavailableError(
                f"The agent at {client.address} does not answer.", hint="It is asked again every second."
            )
        return client

    def _is_silent(self, client: AgentClient) -> bool:
        return client.address in self._joined and client.address in self._silent

    def _forget(self, client: AgentClient) -> None:
        self._by_node = {key: value for key, value in self._by_node.items() if value is not client}
        self._lose_holder(client)
        closing = asyncio.get_running_loop().create_task(client.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        nodes = [member.node_id for member in launch.members]
        if len(set(nodes)) < len(nodes):
            raise InvalidError(
                f"Replica {launch.replica_id} has two members on one node; each of them needs one of its own."
            )
        clients = [await self._client(node_id) for node_id in nodes]
        if len(clients) == 1:
            return await clients[0].start(launch)
        return await _start_members(clients, launch)

    async def observe(self) -> list[ObservedReplica]:
        found: dict[str, list[ObservedReplica]] = {}
        answers = await self._ask_all("replicas", lambda client: client.replicas())
        for client, answer in answers:
            self._lose_holder(client)
            for replica in answer:
                found.setdefault(replica.replica_id, []).append(replica)
                self._holders.setdefault(replica.replica_id, []).append(client)
        heard = {client for client, _ in answers}
        self._reporters = frozenset(node for node, client in self._by_node.items() if client in heard)
        return [merge_reports(reports) for reports in found.values()]

    def reporters(self) -> Collection[str]:
        """See TellsReporters."""
        return self._reporters

    def _lose_holder(self, client: AgentClient) -> None:
        held = {key: [one for one in holders if one is not client] for key, holders in self._holders.items()}
        self._holders = {key: holders for key, holders in held.items() if holders}

    async def resize(self, wanted: ReplicaResize) -> ObservedReplica:
        """See Resizes."""
        return await (await self._client(wanted.allocation.node_id)).resize(wanted)

    async def stop(self, replica_id: str, generation: int, grace_seconds: float) -> None:
        # A node that is known to hold it is asked alone: others that are silent do not matter.
        clients = self._holders.get(replica_id) or self._clients
        heard = [client for client in clients if not self._is_silent(client)]
        if len(heard) < len(clients) and (not heard or len(self._holders.get(replica_id, [])) < 2):
            # of members on several nodes those that can be reached end now, the others when they are back
            heard = [self._heard(client) for client in clients]
        await asyncio.gather(
            *(client.stop(replica_id, generation=generation, grace_seconds=grace_seconds) for client in heard)
        )

    async def log(
        self, replica_id: str, *, tail: int = 100, follow: bool = False, node_id: str | None = None
    ) -> AsyncIterator[str]:
        silent: UnavailableError | None = None
        holders = self._holders.get(replica_id, [])
        clients = sorted(self._clients, key=lambda client: client not in holders)
        if node_id is not None:
            clients = [await self._client(node_id)]
        for client in clients:
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
        return self._heard(client)


def _ignore(task: asyncio.Future[Any]) -> None:
    """An answer that nobody waits for any more may be an error."""
    if not task.cancelled():
        task.exception()


async def _start_members(agents: Sequence[AgentClient], launch: ReplicaLaunch) -> ObservedReplica:
    """Starts each member by its agent, in the order of the members.

    A node that does not answer may have started its member; to try again is right then. What any of them refuses ends
    the others.
    """
    answers = await asyncio.gather(*(agent.start(launch) for agent in agents), return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    refusal = next((error for error in errors if not isinstance(error, UnavailableError)), None)
    if refusal is not None:
        started = [agent for agent, answer in zip(agents, answers, strict=True) if isinstance(answer, ObservedReplica)]
        stops = (agent.stop(launch.replica_id, generation=launch.generation, grace_seconds=0) for agent in started)
        await asyncio.gather(*stops, return_exceptions=True)
    if errors:
        raise refusal or errors[0]
    return merge_reports([answer for answer in answers if isinstance(answer, ObservedReplica)])


def client_of(agent: AgentAddress) -> AgentClient:
    """A client of one agent; no connection is made yet."""
    return AgentClient(agent.address, agent.token, tls=agent.tls, lease_seconds=agent.lease_seconds)


class LocalRunnerDriver:
    """Makes a LocalRunner over unix sockets or URLs."""

    def connect(self, agents: Sequence[AgentAddress], options: Mapping[str, Any] | None = None) -> LocalRunner:
        """See RunnerDriver."""
        return LocalRunner([client_of(agent) for agent in agents])


driver = LocalRunnerDriver()
