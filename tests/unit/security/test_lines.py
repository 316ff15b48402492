"""Connections that notice a cut network."""

from __future__ import annotations

import asyncio
import socket

import uvloop

from aicp.security.lines import expect_answers


def test_what_is_accepted_and_what_an_event_loop_opens_is_watched() -> None:
    async def options() -> list[int]:
        listener = socket.create_server(("127.0.0.1", 0))
        expect_answers(listener)
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, "127.0.0.1", listener.getsockname()[1]
        )
        own = transport.get_extra_info("socket")
        expect_answers(own)
        accepted, _ = listener.accept()
        found = [line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) for line in (accepted, own)]
        found += [line.getsockopt(socket.IPPROTO_TCP, 18) for line in (accepted, own)]
        found += [line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for line in (accepted, own)]
        transport.close()
        accepted.close()
        listener.close()
        return found

    assert uvloop.run(options()) == [3, 3, 9000, 9000, 1, 1]
