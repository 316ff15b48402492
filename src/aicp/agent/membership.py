"""A node that has joined over the network: how other machines reach its agent and its engines."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from aicp.agent.engine_door import EngineDoor, Find
from aicp.core.errors import UnavailableError
from aicp.core.mutual import MutualAddress, node_name, replica_name
from aicp.security.tls import peer_identity
from aicp.security.tls_identity import TlsIdentity
from aicp.web.serving import App, serve_app

log = logging.getLogger(__name__)

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Membership:
    """What a joined node knows of itself.

    `host` is the name or address by which other machines reach it, `bind` the address that it listens on (empty: all),
    `port` and `engine_port` where its agent and its engines are reached (0: any free one, then always the same).
    `directory` keeps which these are.
    """

    host: str
    directory: Path
    credentials: TlsIdentity
    bind: str = ""
    port: int = 0
    engine_port: int = 0


class JoinedNode:
    """The two doors of a node, their ports taken before anything is reported of it.

    Raises UnavailableError when a port that was asked for is taken.
    """

    def __init__(self, membership: Membership, node_id: str) -> None:
        self._membership = membership
        self._node_id = node_id
        self._agent = _take_port(membership, "agent", membership.port)
        self._engines = _take_port(membership, "engine", membership.engine_port)
        self._door: EngineDoor | None = None

    def address(self) -> str:
        """By what other machines reach the agent."""
        return str(MutualAddress(node_name(self._node_id), self._membership.host, self._agent.getsockname()[1]))

    def address_of(self, replica_id: str) -> str:
        """By what other machines reach a replica of this node."""
        port = self._engines.getsockname()[1]
        return str(MutualAddress(replica_name(replica_id, self._node_id), self._membership.host, port))

    async def open(self, find: Find) -> None:
        """Lets gateways in to the engines that `find` knows. Raises OSError without a certificate."""
        self._door = EngineDoor(find)
        await self._door.open(self._engines, self._membership.credentials.server())
        log.info("reached at %s, engines on port %d", self.address(), self._engines.getsockname()[1])

    async def serve(self, app: App, stop: asyncio.Event) -> None:
        """Lets the control plane and other nodes in to the agent until `stop`. Raises OSError without a certificate."""
        tls = self._membership.credentials.server()
        await serve_app(app, [self._agent], stop, tls=tls, identify=peer_identity)

    def close(self) -> None:
        """Lets nobody in any more."""
        self._agent.close()
        if self._door is None:
            self._engines.close()
        else:
            self._door.close()


def _take_port(membership: Membership, name: str, wanted: int) -> socket.socket:
    """The port that was asked for, else that of the last run, else any: so an address stays what it is."""
    kept = membership.directory / f"{name}.port"
    if wanted:
        try:
            return _listen(membership.bind, wanted)
        except OSError as error:
            raise UnavailableError(
                f"Port {wanted} cannot be listened on by this node's {name} door: {error.strerror}.",
                hint="Choose another one, or leave it out.",
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
