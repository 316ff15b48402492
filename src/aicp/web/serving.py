"""Serves an application on given sockets until told to stop; the process keeps its own say over signals."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from socket import socket
from typing import TypeAlias, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_GRACE_SECONDS = 2
App: TypeAlias = FastAPI
"""What is served; the composition root names it without knowing the framework."""

IDENTITY = "aicp.identity"
"""The key of a request's `scope` under which it says who the caller proved to be, where that was asked."""
Identify: TypeAlias = Callable[[ssl.SSLObject | None], str | None]


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
    tls: ssl.SSLContext | None = None,
    identify: Identify | None = None,
) -> None:
    """Returns after `stop` is set and running answers had two seconds to end. Runs no lifespan of `app`.

    `tls` is used in place of the two files. `identify` reads from a connection what each of its requests is to know of
    its caller.
    """
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
        ssl_context_factory=None if tls is None else lambda config, usual: tls,
        http="auto" if identify is None else _identifying(identify),
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


def _identifying(identify: Identify) -> type[asyncio.Protocol]:
    """uvicorn itself tells an application nothing of a caller's certificate."""

    class Identifying(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.identity = identify(cast(ssl.SSLObject | None, transport.get_extra_info("ssl_object")))
            super().connection_made(transport)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            cast(dict[str, object], self.scope)[IDENTITY] = self.identity

    return Identifying
