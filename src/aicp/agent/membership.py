"""A node that has joined over the network: how other machines reach its engines."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from aicp.agent.engine_door import EngineDoor, Find
from aicp.core.errors import UnavailableError
from aicp.core.mutual import MutualAddress, replica_name
from aicp.security.tls_identity import TlsIdentity

log = logging.getLogger(__name__)

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Membership:
    """What a joined node knows of itself.

    `host` is the name or address by which other machines reach it, `bind` the address that it listens on (empty: all),
    `engine_port` where its engines are reached (0: any free one, then always the same). `directory` keeps that.
    """

    host: str
    directory: Path
    credentials: TlsIdentity
    bind: str = ""
    engine_port: int = 0


class EngineWay:
    """The engine door of a node, its port taken before anything is reported of a replica.

    Raises UnavailableError when a port that was asked for is taken.
    """

    def __init__(self, membership: Membership, node_id: str) -> None:
        self._membership = membership
        self._node_id = node_id
        self._listener = _take_port(membership)
        self._door: EngineDoor | None = None

    def address(self, replica_id: str) -> str:
        """By what other machines reach a replica of this node."""
        port = self._listener.getsockname()[1]
        return str(MutualAddress(replica_name(replica_id, self._node_id), self._membership.host, port))

    async def open(self, find: Find) -> None:
        """Lets gateways in. Raises OSError without a certificate."""
        self._door = EngineDoor(find)
        await self._door.open(self._listener, self._membership.credentials.server())
        log.info("engines are reached on port %d", self._listener.getsockname()[1])

    def close(self) -> None:
        """Lets nobody in any more."""
        if self._door is None:
            self._listener.close()
        else:
            self._door.close()


def _take_port(membership: Membership) -> socket.socket:
    """The port that was asked for, else that of the last run, else any: so an address stays what it is."""
    kept = membership.directory / "engine.port"
    if membership.engine_port:
        try:
            return _listen(membership.bind, membership.engine_port)
        except OSError as error:
            raise UnavailableError(
                f"Port {membership.engine_port} cannot be listened on for engines: {error.strerror}.",
                hint="Choose another one with --engine-port, or leave it out.",
            ) from error
    try:
        return _listen(membership.bind, int(kept.read_text()))
    except (OSError, ValueError):
        listener = _listen(membership.bind, 0)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(str(listener.getsockname()[1]))
    return listener


def _listen(host: str, port: int) -> socket.socket:
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, dualstack_ipv6=both, backlog=_BACKLOG)
