"""The door to a node's engines for the platform's gateways: TLS outside, the engine's own socket inside.

Who comes in must have a gateway's or the control plane's certificate, and asks in the handshake for a replica by its
name. From then on bytes are passed on as they are, both ways: no side is read faster than the other takes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Collection
from typing import Any, Final, cast
from urllib.parse import urlsplit

from aicp.security.lines import expect_answers
from aicp.security.tls import peer_identity

log = logging.getLogger(__name__)

GATEWAY: Final = "aicp://gateway"
CONTROL: Final = "aicp://control"
_CONNECT_SECONDS: Final = 3.0
_HANDSHAKE_SECONDS: Final = 10.0
_BACKLOG: Final = 1024
_HELD_BYTES: Final = 1 << 18
"""So much of one direction is held before its source is read no more."""

Find = Callable[[str], str | None]
"""The address (`unix:/path` or `http://127.0.0.1:port`) behind a name that is asked for; None: there is none."""


class EngineDoor:
    """`find` is asked anew for each connection: an engine that is started again listens elsewhere."""

    def __init__(self, find: Find, allowed: Collection[str] = (GATEWAY, CONTROL)) -> None:
        self.find = find
        self.allowed = frozenset(allowed)
        self.callers: set[Caller] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket, tls: ssl.SSLContext) -> None:
        """Accepts on a bound socket. `tls` must ask for the other side's certificate."""
        tls.sni_callback = _keep_name
        expect_answers(listener)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Caller(self), sock=listener, ssl=tls, ssl_handshake_timeout=_HANDSHAKE_SECONDS, backlog=_BACKLOG
        )

    def close(self) -> None:
        """Accepts no more, and ends what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for caller in list(self.callers):
            caller.end()


class Caller(asyncio.Protocol):
    """The side of the gateway."""

    __slots__ = ("_door", "_engine", "_task", "transport")

    def __init__(self, door: EngineDoor) -> None:
        self._door = door
        self._engine: _Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self.transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        tls = cast(ssl.SSLObject, transport.get_extra_info("ssl_object"))
        identity = peer_identity(tls)
        if identity not in self._door.allowed:
            log.warning("refused %s, which is not let in to engines", identity or "a caller without a name")
            self.transport.abort()
            return
        address = self._door.find(getattr(tls, _NAME, None) or "")
        if address is None:
            self.transport.close()
            return
        self._door.callers.add(self)
        self.transport.set_write_buffer_limits(high=_HELD_BYTES)
        self.transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._connect(address))

    async def _connect(self, address: str) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                self._engine = await _open(address, self)
        except OSError:  # TimeoutError among them
            self.transport.close()
            return
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        # read only once the engine is there
        cast(_Engine, self._engine).transport.write(data)

    def pause_writing(self) -> None:
        if self._engine is not None:
            self._engine.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._engine is not None and not self._engine.transport.is_closing():
            self._engine.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody can be answered any more: the engine is to stop its work at once. TLS has no half that stays open."""
        self._door.callers.discard(self)
        if self._task is not None:
            self._task.cancel()
        if self._engine is not None:
            self._engine.transport.abort()

    @property
    def held_bytes(self) -> int:
        """What one side has said and the other has not taken yet."""
        engine = 0 if self._engine is None else self._engine.transport.get_write_buffer_size()
        return engine + self.transport.get_write_buffer_size()

    def end(self) -> None:
        """Ends both sides now."""
        self.transport.abort()


class _Engine(asyncio.Protocol):
    """The side of the engine."""

    __slots__ = ("_caller", "transport")

    def __init__(self, caller: asyncio.Transport) -> None:
        self._caller = caller
        self.transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_HELD_BYTES)

    def data_received(self, data: bytes) -> None:
        self._caller.write(data)

    def pause_writing(self) -> None:
        if not self._caller.is_closing():
            self._caller.pause_reading()

    def resume_writing(self) -> None:
        if not self._caller.is_closing():
            self._caller.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """What the engine has said still goes out, unless the connection broke: then the caller must see that."""
        if exc is None:
            self._caller.close()
        else:
            self._caller.abort()


async def _open(address: str, caller: Caller) -> _Engine:
    loop = asyncio.get_running_loop()
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        _, engine = await loop.create_unix_connection(lambda: _Engine(caller.transport), path)
    else:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or 80
        _, engine = await loop.create_connection(lambda: _Engine(caller.transport), host, port)
    return engine


_NAME: Final = "aicp_asked_for"


def _keep_name(connection: Any, name: str | None, context: ssl.SSLContext) -> None:
    """ssl: the name in a handshake; the object that gets it here is the one that the transport shows later."""
    setattr(connection, _NAME, name)
