"""Joined nodes among themselves: engines reached through their node's door, ports that stay, files that travel."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from tests.support.agent_process import eventually, tiny_launch
from tests.support.members import Members

from aicp.agent.app import AgentParts, create_app
from aicp.agent.membership import Membership
from aicp.agent.serve import AgentConfig, build_parts
from aicp.client.agent import AgentClient
from aicp.client.places import reach
from aicp.core.clock import SystemClock
from aicp.core.errors import UnauthorizedError, UnavailableError
from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.mutual import parse_mutual, replica_name
from aicp.environments.environments import Environments

DIGEST = "ef" * 32
WEIGHTS = b"weights" * 100_000
FILES = [("model.bin", hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))]
Join = Callable[..., Awaitable[AgentParts]]


class Nodes:
    """Agents in this process, each with a directory and a certificate of its own, and nobody else to ask."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.members = Members(folder / "authority")
        self._stack = stack

    def build(self, name: str, port: int = 0) -> tuple[AgentParts, str]:
        """The parts of an agent, and the id of its node."""
        directory = self.folder / name
        identity = directory / "agent" / "node.id"
        identity.parent.mkdir(parents=True, exist_ok=True)
        identity.write_text(f"node_{name}\n")
        credentials = self.members.node(f"node_{name}")
        config = AgentConfig(
            data_dir=directory,
            socket_path=directory / "agent.sock",
            token="secret",
            control_url="mtls://control.aicp@127.0.0.1:1",
            artifacts_dir=None,
            environment_store=Environments(directory / "environments", clock=SystemClock(), parent={}),
            inherited={},
            engine_user="root" if os.geteuid() == 0 else None,
            membership=Membership("127.0.0.1", directory / "run", credentials, bind="127.0.0.1", engine_port=port),
        )
        return build_parts(config), f"node_{name}"

    async def join(self, name: str) -> tuple[AgentParts, str, str]:
        """A node whose door is open; its id, and where its agent answers."""
        parts, node_id = self.build(name)
        assert parts.joined is not None
        assert parts.lease is not None
        parts.lease.adopted = True
        stop, joined = asyncio.Event(), parts.joined
        await joined.open(parts.replicas.own_address)
        task = asyncio.create_task(joined.serve(create_app(parts, "secret"), stop))

        async def end() -> None:
            stop.set()
            await task
            joined.close()
            await parts.replicas.shut_down()

        self._stack.push_async_callback(end)
        return parts, node_id, joined.address()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        yield Nodes(tmp_path, stack)


async def ready(parts: AgentParts) -> ObservedReplica:
    async def look() -> ObservedReplica | None:
        found = parts.replicas.observe()
        return found[0] if found and found[0].state is ReplicaState.READY else None

    found = await eventually("a ready replica", look)
    assert found is not None
    return found


async def asked(nodes: Nodes, address: str) -> int:
    url, transport = reach(address, nodes.members.gateway().client)
    async with httpx.AsyncClient(base_url=url, transport=transport, trust_env=False) as client:
        return (await client.get("/health")).status_code


@pytest.mark.parametrize("listen", ["unix", "tcp"])
async def test_an_engine_is_reported_by_its_nodes_door_and_reached_there(nodes: Nodes, listen: str) -> None:
    parts, node_id, _ = await nodes.join("a")
    parts.replicas.start(tiny_launch(node_id, listen=listen))
    address = (await ready(parts)).address or ""
    assert parse_mutual(address).name == replica_name("rep_1", node_id)
    assert await asked(nodes, address) == 200
    parts.replicas.stop("rep_1", 1, 0.0)

    async def gone() -> bool:
        return parts.replicas.observe()[0].state is ReplicaState.STOPPED

    await eventually("the replica stopped", gone)
    with pytest.raises(httpx.HTTPError):
        await asked(nodes, address)


async def test_two_nodes_give_each_other_model_files(nodes: Nodes) -> None:
    first, _, address = await nodes.join("a")
    second, node_id, _ = await nodes.join("b")
    kept = first.copies.path(DIGEST) / "model.bin"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(WEIGHTS)
    launch = tiny_launch(node_id, model_digest=DIGEST)
    member = launch.members[0].model_copy(update={"model_files": FILES, "model_sources": [address]})
    second.replicas.start(launch.model_copy(update={"members": [member]}))
    await ready(second)
    assert second.copies.file(DIGEST, "model.bin").read_bytes() == WEIGHTS


async def test_the_port_of_a_door_stays_what_it_is(nodes: Nodes) -> None:
    ports = set[int]()
    for _ in range(3):
        joined = nodes.build("a")[0].joined
        assert joined is not None
        ports.add(parse_mutual(joined.address_of("rep_1")).port)
        joined.close()
    assert len(ports) == 1
    with socket.create_server(("127.0.0.1", ports.pop())) as taken:
        joined = nodes.build("a")[0].joined
        assert joined is not None
        assert parse_mutual(joined.address_of("rep_1")).port != taken.getsockname()[1]
        joined.close()


async def test_a_port_that_was_asked_for_and_is_taken_is_refused(nodes: Nodes) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(UnavailableError, match="cannot be listened on"):
        nodes.build("a", taken.getsockname()[1])


async def test_an_agent_obeys_the_control_plane_alone(nodes: Nodes) -> None:
    _, node_id, address = await nodes.join("a")
    async with AgentClient(address, "", tls=nodes.members.control().client) as client:
        assert (await client.node()).node_id == node_id
    for other in (nodes.members.node("node_b"), nodes.members.gateway()):
        async with AgentClient(address, "secret", tls=other.client) as client:
            with pytest.raises(UnauthorizedError, match="control plane"):
                await client.node()
