"""The way to a node's engines: who is let in, to which engine, and what happens where one side is slow or gone."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from tests.support.members import Members

from aicp.agent.engine_door import EngineDoor
from aicp.core.mutual import replica_name
from aicp.security.tls_identity import TlsIdentity

NODE = "node_01abc"
REPLICA = replica_name("rep_01xyz", NODE)
MUCH = 8 * 2**20


class Engine:
    """Answers `echo N` with N bytes, `end` by ending; counts what it could send, and notes when its caller is gone."""

    def __init__(self) -> None:
        self.sent = self.taken = 0
        self.gone = asyncio.Event()
        self.began = asyncio.Event()
        self.read_on = asyncio.Event()
        self.read_on.set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.began.set()
        try:
            while line := await reader.readline():
                word, _, size = line.decode().strip().partition(" ")
                match word:
                    case "echo":
                        for _ in range(int(size) // 65536 or 1):
                            writer.write(b"x" * min(int(size), 65536))
                            await writer.drain()
                            self.sent += min(int(size), 65536)
                    case "take":
                        await self.read_on.wait()
                        self.taken = len(await reader.readexactly(int(size)))
                        writer.write(b"taken\n")
                    case _:
                        writer.write(b"bye")
                        break
        except OSError:
            pass
        finally:
            self.gone.set()
            writer.close()


@dataclass
class World:
    door: EngineDoor
    port: int
    members: Members
    engine: Engine
    addresses: dict[str, str] = field(default_factory=dict)

    async def call(
        self, name: str = REPLICA, who: TlsIdentity | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = (who or self.members.gateway()).client()
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    members, engine, addresses = Members(tmp_path / "authority"), Engine(), dict[str, str]()
    door = EngineDoor(addresses.get)
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_unix_server(engine.answer, tmp_path / "e.sock")
    addresses[REPLICA] = f"unix:{tmp_path / 'e.sock'}"
    await door.open(listener, members.node(NODE).server())
    yield World(door, listener.getsockname()[1], members, engine, addresses)
    door.close()
    server.close()


async def ends_without_a_word(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 5) == b""
    except (ConnectionError, ssl.SSLError):
        return True


async def test_bytes_go_both_ways(world: World) -> None:
    reader, writer = await world.call()
    writer.write(b"echo 5\n")
    assert await reader.readexactly(5) == b"xxxxx"
    writer.write(b"take 1000000\n" + b"y" * 1_000_000)
    assert await reader.readline() == b"taken\n"
    writer.close()


async def test_a_tcp_engine_is_reached_and_looked_up_for_each_connection(world: World) -> None:
    other = Engine()
    server = await asyncio.start_server(other.answer, "127.0.0.1", 0)
    world.addresses[REPLICA] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    reader, writer = await world.call()
    writer.write(b"echo 3\n")
    assert await reader.readexactly(3) == b"xxx"
    assert other.began.is_set()
    assert not world.engine.began.is_set()
    writer.close()
    server.close()


async def test_who_is_not_the_gateway_or_the_control_plane_is_not_let_in(world: World) -> None:
    reader, writer = await world.call(who=world.members.node("node_other"))
    assert await ends_without_a_word(reader)
    writer.close()
    reader, writer = await world.call(who=world.members.control())
    writer.write(b"echo 1\n")
    assert await reader.readexactly(1) == b"x"
    writer.close()


async def test_who_has_no_certificate_of_the_authority_is_not_let_in(world: World, tmp_path: Path) -> None:
    stranger = Members(tmp_path / "foreign").gateway().client()
    bare = ssl.create_default_context()
    for context in (stranger, bare):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", world.port, ssl=context, server_hostname=REPLICA
            )
        except (OSError, ssl.SSLError):
            continue
        writer.write(b"echo 1\n")
        assert await ends_without_a_word(reader)
        writer.close()
    assert not world.engine.began.is_set()


async def test_an_unknown_replica_is_no_replica(world: World) -> None:
    reader, writer = await world.call(replica_name("rep_other", NODE))
    assert await ends_without_a_word(reader)
    writer.close()


async def test_another_nodes_name_is_not_believed(world: World) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await world.call(replica_name("rep_01xyz", "node_other"))


async def test_an_engine_that_is_gone_ends_the_connection(world: World, tmp_path: Path) -> None:
    world.addresses[REPLICA] = f"unix:{tmp_path / 'nothing.sock'}"
    reader, writer = await world.call()
    assert await ends_without_a_word(reader)
    writer.close()


async def test_what_an_engine_said_before_it_ended_arrives(world: World) -> None:
    reader, writer = await world.call()
    writer.write(b"end\n")
    assert await asyncio.wait_for(reader.read(), 5) == b"bye"
    writer.close()


async def test_an_engine_learns_that_its_caller_left(world: World) -> None:
    _, writer = await world.call()
    writer.write(b"echo 1\n")
    await world.engine.began.wait()
    writer.transport.abort()
    await asyncio.wait_for(world.engine.gone.wait(), 5)
    assert not world.door.callers


async def settled(figure: list[int], now: int) -> bool:
    figure.append(now)
    await asyncio.sleep(0.05)
    return len(figure) > 4 and len(set(figure[-4:])) == 1


async def test_a_slow_caller_holds_the_engine_back(world: World) -> None:
    reader, writer = await world.call()
    transport = cast(asyncio.Transport, writer.transport)
    transport.pause_reading()
    writer.write(f"echo {16 * MUCH}\n".encode())
    seen: list[int] = []
    while not await settled(seen, world.engine.sent):
        pass
    assert 0 < world.engine.sent < 16 * MUCH, "an answer nobody reads must not pile up in between"
    transport.resume_reading()
    assert len(await reader.readexactly(16 * MUCH)) == 16 * MUCH
    writer.close()


async def test_a_slow_engine_holds_its_caller_back(world: World) -> None:
    reader, writer = await world.call()
    world.engine.read_on.clear()
    writer.write(f"take {MUCH * 4}\n".encode())
    sent = asyncio.create_task(_send(writer, MUCH * 4))
    await world.engine.began.wait()
    held: list[int] = []
    while not await settled(held, sum(one.held_bytes for one in world.door.callers)):
        pass
    assert not sent.done()
    assert max(held) < 2**20
    world.engine.read_on.set()
    await sent
    assert await reader.readline() == b"taken\n"
    writer.close()


async def _send(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size // 65536):
        writer.write(b"y" * 65536)
        await writer.drain()


async def test_a_closed_door_ends_what_goes_through_it(world: World) -> None:
    reader, writer = await world.call()
    writer.write(b"echo 1\n")
    await reader.readexactly(1)
    world.door.close()
    assert await ends_without_a_word(reader)
    await asyncio.wait_for(world.engine.gone.wait(), 5)
    writer.close()
