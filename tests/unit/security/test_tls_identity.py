"""What processes prove themselves with, while it is renewed and where it is missing."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.support.members import Members

from aicp.core.mutual import node_name


async def seen_by(members: Members, context: ssl.SSLContext) -> str:
    """The serial number of the certificate that a server is shown."""
    serial: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serial.set_result(writer.get_extra_info("peercert")["serialNumber"])
        writer.close()

    tls = members.node("node_1").server()
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=node_name("node_1"))
        found = await serial
        writer.close()
    return found


async def test_renewed_files_are_taken_up_by_what_was_given_out(tmp_path: Path) -> None:
    members = Members(tmp_path / "authority")
    gateway = members.gateway()
    context, listening = gateway.client(), gateway.server()
    before = await seen_by(members, context)
    assert await seen_by(members, context) == before
    members.gateway()
    assert gateway.client() is context
    assert gateway.server() is listening
    assert await seen_by(members, context) != before


def test_without_its_files_nobody_is_connected_to(tmp_path: Path) -> None:
    gateway = Members(tmp_path / "authority").gateway()
    (tmp_path / "authority" / "gateway.key").unlink()
    with pytest.raises(FileNotFoundError):
        gateway.client()
