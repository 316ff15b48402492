"""Serves an application on given sockets until told to stop; the process keeps its own say over signals."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from socket import socket
from typing import TypeAlias

import uvicorn
from fastapi import FastAPI

_GRACE_SECONDS = 2
App: TypeAlias = FastAPI
"""What is served; the composition root names it without knowing the framework."""


class _Server(uvicorn.Server):
    """uvicorn ends the process by the signal it caught; ours have work left to do after the last answer."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve_app(
    app: App,
    listeners: list[socket],
    stop: asyncio.Event,
    *,
    tls_certificate: str | None = None,
    tls_key: str | None = None,
) -> None:
    """Returns after `stop` is set and running answers had two seconds to end. Runs no lifespan of `app`."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        # Trusted from loopback by default, where anyone on this machine could claim any address.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
    )
    server = _Server(config)

    async def follow() -> None:
        await stop.wait()
        server.should_exit = True

    follower = asyncio.create_task(follow())
    try:
        await server.serve(sockets=listeners)
    finally:
        follower.cancel()
