"""Serving on sockets of one's own."""

from __future__ import annotations

import asyncio
import socket

import httpx
from fastapi import FastAPI, Request

from aicp.web.serving import serve_app


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
