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
from aicp.client.places import reach
from aicp.core.clock import SystemClock
from aicp.core.errors import UnavailableError
from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.mutual import MutualAddress, node_name, parse_mutual, replica_name
from aicp.environments.environments import Environments
from aicp.security.tls import peer_identity
from aicp.web.serving import serve_app

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
        assert parts.way is not None
        await parts.way.open(parts.replicas.own_address)
        listener, stop = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
        tls = self.members.node(node_id).server()
        serving = serve_app(create_app(parts, "secret"), [listener], stop, tls=tls, identify=peer_identity)
        task = asyncio.create_task(serving)

        async def end() -> None:
            stop.set()
            await task
            assert parts.way is not None
            parts.way.close()
            await parts.replicas.shut_down()

        self._stack.push_async_callback(end)
        return parts, node_id, str(MutualAddress(node_name(node_id), "127.0.0.1", listener.getsockname()[1]))


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        yield Nodes(tmp_path, stack)


async def ready(parts: AgentParts) -> ObservedReplica:
    async def look() -> ObservedReplica | None:
        found = parts.replicas.observe()
        return found[0] if found and found[0].state is ReplicaState.READY else None

    return await eventually("a ready replica", look)


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
        way = nodes.build("a")[0].way
        assert way is not None
        ports.add(parse_mutual(way.address("rep_1")).port)
        way.close()
    assert len(ports) == 1
    with socket.create_server(("127.0.0.1", ports.pop())) as taken:
        way = nodes.build("a")[0].way
        assert way is not None
        assert parse_mutual(way.address("rep_1")).port != taken.getsockname()[1]
        way.close()


async def test_a_port_that_was_asked_for_and_is_taken_is_refused(nodes: Nodes) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(UnavailableError, match="cannot be listened on"):
        nodes.build("a", taken.getsockname()[1])
