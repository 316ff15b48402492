"""Model files from node to node: checked, gone on with, and from elsewhere where a node is gone or wrong."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import FileResponse
from tests.support.members import Members

from aicp.agent.copy_sources import CopySource
from aicp.agent.model_copies import ModelCopies
from aicp.agent.model_files import share_copies
from aicp.client.places import reach
from aicp.core.clock import SystemClock
from aicp.core.errors import InvalidError, UnavailableError
from aicp.core.mutual import MutualAddress, node_name
from aicp.security.tls import peer_identity
from aicp.security.tls_identity import TlsIdentity
from aicp.web.errors import install_error_handlers
from aicp.web.serving import serve_app

DIGEST = "cd" * 32
CONTENT = {"config.json": b"{}", "weights/a b%.bin": bytes(range(256)) * 12_000}
FILES = [(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in CONTENT.items()]


@dataclass
class Holder:
    """A node, and what it takes to end its serving."""

    copies: ModelCopies
    address: str
    stop: asyncio.Event


class World:
    """Nodes with certificates of one authority, and a control plane that has every file."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.members = Members(folder / "authority")
        self.asked: list[str] = []
        self.blobs = {sha256: CONTENT[path] for path, sha256, _ in FILES}
        self._stack = stack
        self.control = ""

    async def start_control(self) -> None:
        app = FastAPI()

        @app.get("/internal/v1/artifacts/{sha256}")
        async def artifact(sha256: str) -> FileResponse:
            self.asked.append(sha256)
            path = self.folder / sha256
            path.write_bytes(self.blobs[sha256])
            return FileResponse(path)

        self.control = (await self._serve(app, self.members.control(), "control.aicp"))[0]

    async def node(self, name: str, peers_copy: bool = True) -> Holder:
        """A node; with `peers_copy` it has the version already."""
        credentials = self.members.node(name)
        source = CopySource(self.control, "", tls=credentials.client)
        copies = ModelCopies(self.folder / name, source, SystemClock())
        if peers_copy:
            for path, data in CONTENT.items():
                target = copies.path(DIGEST) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        app = FastAPI()
        share_copies(app, copies)
        install_error_handlers(app)
        address, stop = await self._serve(app, credentials, node_name(name))
        return Holder(copies, address, stop)

    async def _serve(self, app: FastAPI, credentials: TlsIdentity, name: str) -> tuple[str, asyncio.Event]:
        listener, stop = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
        tls = credentials.server()
        serving = asyncio.create_task(serve_app(app, [listener], stop, tls=tls, identify=peer_identity))

        async def end() -> None:
            stop.set()
            await serving

        self._stack.push_async_callback(end)
        return str(MutualAddress(name, "127.0.0.1", listener.getsockname()[1])), stop

    async def fetch(self, to: Holder, *peers: Holder) -> None:
        await to.copies.ensure(DIGEST, FILES, lambda _: None, [peer.address for peer in peers])
        assert {path: to.copies.file(DIGEST, path).read_bytes() for path in CONTENT} == CONTENT


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        made = World(tmp_path, stack)
        await made.start_control()
        yield made


async def test_a_node_gets_the_files_from_another_one(world: World) -> None:
    has, wants = await world.node("node_a"), await world.node("node_b", False)
    await world.fetch(wants, has)
    assert world.asked == []


async def test_without_another_node_the_control_plane_gives_them(world: World) -> None:
    wants = await world.node("node_b", False)
    await world.fetch(wants)
    assert len(world.asked) == 2


async def test_a_node_that_is_gone_is_left_for_the_next(world: World) -> None:
    gone, has, wants = await world.node("node_a"), await world.node("node_c"), await world.node("node_b", False)
    gone.address = gone.address.rsplit(":", 1)[0] + ":1"
    await world.fetch(wants, gone, has)
    assert world.asked == []


async def test_a_node_with_wrong_bytes_is_left_for_the_next(world: World) -> None:
    wrong, has, wants = await world.node("node_a"), await world.node("node_c"), await world.node("node_b", False)
    large = wrong.copies.path(DIGEST) / "weights/a b%.bin"
    large.write_bytes(large.read_bytes()[:-1] + b"!")
    await world.fetch(wants, wrong, has)
    assert world.asked == []
    large.write_bytes(large.read_bytes() * 3)
    await wants.copies.remove(DIGEST)
    await world.fetch(wants, wrong)
    assert len(world.asked) == 1, "the control plane gives what the others have wrong"


async def test_a_fetch_goes_on_where_another_source_stopped(world: World) -> None:
    has, wants = await world.node("node_a"), await world.node("node_b", False)
    part = wants.copies.path(DIGEST).with_suffix(".part") / "weights/a b%.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT["weights/a b%.bin"][:2_000_000])
    await world.fetch(wants, has)
    await wants.copies.remove(DIGEST)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else entirely")
    await world.fetch(wants, has)
    assert world.asked == []


async def test_when_nobody_has_them_right_it_is_said(world: World) -> None:
    wants = await world.node("node_b", False)
    world.blobs = {sha256: data + b"!" for sha256, data in world.blobs.items()}
    with pytest.raises(InvalidError, match="damaged"):
        await world.fetch(wants)
    world.control = world.control.rsplit(":", 1)[0] + ":1"
    with pytest.raises(UnavailableError, match="control plane"):
        await world.fetch(await world.node("node_d", False))


@pytest.mark.parametrize("who", ["node", "control", "gateway"])
async def test_files_are_for_nodes_and_the_control_plane(world: World, who: str) -> None:
    has = await world.node("node_a")
    caller = world.members.node("node_z") if who == "node" else getattr(world.members, who)()
    url, transport = reach(has.address, caller.client)
    async with httpx.AsyncClient(base_url=url, transport=transport, trust_env=False) as client:
        answer = await client.get(f"/v1/artifacts/{DIGEST}/config.json")
        assert answer.status_code == (401 if who == "gateway" else 200)
        for path in (f"{DIGEST}/..%2F..%2Fauthority%2Fca.pem", f"{DIGEST}/missing", "..%2Fauthority/ca.pem"):
            assert (await client.get(f"/v1/artifacts/{path}")).status_code in (401, 404, 422)
