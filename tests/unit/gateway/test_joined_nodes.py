"""Engines on other nodes: reached over TLS, through their node's door, like those of this machine."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.control_plane import run_control
from tests.support.gateway_process import GatewayProcess, entry_of, new_secret, route_to, run_gateway, table_of
from tests.support.members import Members
from tests.support.openai_engine import Engine, run_engine

from aicp.agent.engine_door import EngineDoor
from aicp.core.mutual import MutualAddress, replica_name
from aicp.core.route import RouteTable
from aicp.gateway.upstream import UpstreamPool

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
NODE = "node_01abc"


@dataclass
class World:
    """A gateway whose route leads to one engine behind a door, and to one of its own machine."""

    gateway: GatewayProcess
    members: Members
    door: EngineDoor
    far: Engine
    near: Engine


@asynccontextmanager
async def opened(members: Members, engine: Engine) -> AsyncIterator[tuple[EngineDoor, str]]:
    """A door that leads to `engine`, and its address there."""
    name = replica_name(f"rep_{engine.path.stem}", NODE)
    door = EngineDoor({name: f"unix:{engine.path}"}.get)
    listener = socket.create_server(("127.0.0.1", 0))
    await door.open(listener, members.node(NODE).server())
    try:
        yield door, str(MutualAddress(name, "127.0.0.1", listener.getsockname()[1]))
    finally:
        door.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    members, secret = Members(tmp_path / "authority"), new_secret()
    members.gateway()
    async with (
        run_engine(tmp_path / "far.sock") as far,
        run_engine(tmp_path / "near.sock") as near,
        opened(members, far) as (door, address),
        run_control(table(far, address, near, secret)) as control,
        run_gateway(tmp_path / "gateway", control, secret, cluster=str(members.folder)) as gateway,
    ):
        yield World(gateway, members, door, far, near)


def table(far: Engine, address: str, near: Engine, secret: str) -> RouteTable:
    both = route_to([far, near])
    targets = [replace(both.targets[0], address=address), both.targets[1]]
    alone = replace(route_to([far], "far"), targets=targets[:1])
    return table_of([replace(both, targets=targets), alone], [entry_of(secret)])


async def test_a_node_is_asked_like_this_machine(world: World) -> None:
    for stream in (False, True):
        answer = await world.gateway.ask("/v1/chat/completions", CHAT | {"model": "far", "stream": stream})
        assert answer.status == 200
    assert len(world.far.asked) == 2
    assert {asked.headers["authorization"] for asked in world.far.asked} == {"Bearer engine-token"}


async def test_a_connection_to_a_node_is_kept(world: World) -> None:
    for _ in range(5):
        assert (await world.gateway.ask("/v1/chat/completions", CHAT | {"model": "far"})).status == 200
    assert len(world.door.callers) == 1


async def test_a_node_that_is_gone_costs_no_request(world: World) -> None:
    world.door.close()
    for _ in range(6):
        assert (await world.gateway.ask("/v1/chat/completions", CHAT)).status == 200
    assert len(world.near.asked) == 6


async def test_a_gateway_without_a_certificate_serves_what_it_can_reach(world: World) -> None:
    (world.members.folder / "gateway.pem").unlink()
    for _ in range(6):
        assert (await world.gateway.ask("/v1/chat/completions", CHAT)).status == 200
    assert len(world.near.asked) == 6
    assert not world.far.asked
    world.members.gateway()
    assert (await world.gateway.ask("/v1/chat/completions", CHAT | {"model": "far"})).status == 200


@pytest.mark.parametrize(
    "address", ["mtls://127.0.0.1:9", "mtls://a.node.aicp@host", "mtls://a.node.aicp@host:9/path", "mtls://@host:9"]
)
def test_what_is_no_address_of_a_node_is_refused(address: str, tmp_path: Path) -> None:
    members = Members(tmp_path / "authority")
    with pytest.raises(ValueError, match="no address"):
        UpstreamPool(address, None, None, members.gateway())


def test_a_gateway_that_is_in_no_cluster_refuses_such_an_address() -> None:
    with pytest.raises(ValueError, match="certificate"):
        UpstreamPool("mtls://a.node.aicp@host:9", None)
