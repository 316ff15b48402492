"""Serving on sockets of one's own."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from tests.support.members import Members

from aicp.client.places import reach
from aicp.core.mutual import MutualAddress, node_name
from aicp.security.tls import peer_identity
from aicp.web.serving import IDENTITY, serve_app


async def test_nobody_can_claim_another_address_and_the_end_is_clean():
    app = FastAPI()

    @app.get("/who")
    async def who(request: Request) -> list[str]:
        assert request.client is not None
        return [request.client.host, request.url.scheme]

    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_app(app, [listener], stop))
    async with httpx.AsyncClient(trust_env=False) as client:
        claim = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https"}
        assert (await client.get(f"{address}/who", headers=claim)).json() == ["127.0.0.1", "http"]
    stop.set()
    await asyncio.wait_for(serving, 5)


async def test_a_request_says_who_its_caller_proved_to_be(tmp_path: Path) -> None:
    app, members = FastAPI(), Members(tmp_path / "authority")

    @app.get("/who")
    async def who(request: Request) -> str | None:
        return request.scope[IDENTITY]

    listener = socket.create_server(("127.0.0.1", 0))
    stop = asyncio.Event()
    tls = members.node("node_1").server()
    serving = asyncio.create_task(serve_app(app, [listener], stop, tls=tls, identify=peer_identity))
    address = str(MutualAddress(node_name("node_1"), "127.0.0.1", listener.getsockname()[1]))
    for caller, name in ((members.gateway(), "aicp://gateway"), (members.node("node_2"), "aicp://node/node_2")):
        url, transport = reach(address, caller.client)
        async with httpx.AsyncClient(base_url=url, transport=transport, trust_env=False) as client:
            assert [(await client.get("/who")).json() for _ in range(2)] == [name, name]
    url, transport = reach(address.replace("node-1", "node-2"), members.gateway().client)
    async with httpx.AsyncClient(base_url=url, transport=transport, trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/who")
    stop.set()
    await asyncio.wait_for(serving, 5)
