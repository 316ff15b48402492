"""Where a gateway process accepts connections: its sockets, opened, taken over from another process, handed on."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from aicp.gateway.handover import Address, Sockets

_BACKLOG = 1024
Factory = Callable[[], asyncio.Protocol]


@dataclass(frozen=True, slots=True)
class Door:
    """One address that is listened at."""

    sockets: list[socket.socket]
    servers: list[asyncio.Server]

    def close(self) -> None:
        """No connection is accepted here any more; the socket lives on where another process has it."""
        for server in self.servers:
            server.close()
        for one in self.sockets:
            one.close()


class Doors:
    """All that are open. `shared`: other processes bind the same addresses, and the kernel shares connections out."""

    def __init__(self, *, shared: bool, handshake_seconds: float) -> None:
        self._shared, self._handshake_seconds = shared, handshake_seconds
        self._open: dict[Address, Door] = {}
        self.given: Sockets = {}
        """Sockets of a former process that wait to be used."""

    async def open(self, address: Address, factory: Factory, tls: ssl.SSLContext | None) -> None:
        """Listens there. Raises OSError."""
        given = self.given.pop(address, None)
        sockets = await asyncio.to_thread(bind, *address, shared=self._shared) if given is None else given
        door = Door([], [])
        try:
            for one in sockets:
                if self._shared:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                # the server closes its own descriptor whenever it likes; this one is for the next process
                mine = one.dup()
                door.sockets.append(one)
                seconds = self._handshake_seconds if tls else None
                loop = asyncio.get_running_loop()
                door.servers.append(
                    await loop.create_server(
                        factory, sock=mine, backlog=_BACKLOG, ssl=tls, ssl_handshake_timeout=seconds
                    )
                )
        except BaseException:
            door.close()
            raise
        self._open[address] = door

    def close(self, address: Address) -> None:
        """Ends listening there, if it did."""
        door = self._open.pop(address, None)
        if door is not None:
            door.close()

    def close_all(self) -> None:
        """Nothing is accepted any more."""
        for address in list(self._open):
            self.close(address)

    def sockets(self) -> Sockets:
        """What a successor is offered."""
        return {address: door.sockets for address, door in self._open.items()}


def bind(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Sockets bound to all addresses of `host`. Raises OSError that names the address. Blocks on names."""
    bound: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            one = socket.socket(family, kind, protocol)
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                with suppress(OSError):
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.setblocking(False)
    except OSError as error:
        for one in bound:
            one.close()
        raise OSError(error.errno or errno.EADDRNOTAVAIL, f"{host}:{port}: {error.strerror or error}") from error
    return bound
