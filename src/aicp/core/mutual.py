"""Addresses inside the platform where both sides prove who they are: `mtls://NAME@HOST:PORT`.

HOST and PORT say where to connect to; NAME is what the other side's certificate must be made out to, and the name that
is asked for in the handshake. So machines can move, and no certificate holds the address of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

SCHEME = "mtls"
CONTROL_NAME = "control.aicp"
"""The name in the control plane's certificate."""
_NODES = "node.aicp"


@dataclass(frozen=True, slots=True)
class MutualAddress:
    """Who is to answer, and where."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}://{self.name}@{host}:{self.port}"


def is_mutual(address: str) -> bool:
    """Whether an address is of this kind, well written or not."""
    return address.startswith(f"{SCHEME}://")


def parse_mutual(address: str) -> MutualAddress:
    """Raises ValueError for what is no such address."""
    wrong = ValueError(f"{address!r} is no address of the form {SCHEME}://NAME@HOST:PORT")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise wrong from error
    rest = parts.path or parts.query or parts.fragment or parts.password or not address.isascii()
    if parts.scheme != SCHEME or not parts.username or not parts.hostname or not port or rest:
        raise wrong
    return MutualAddress(parts.username, parts.hostname, port)


def node_name(node_id: str) -> str:
    """The name in a node's certificate; what is below it is the node's, too."""
    return f"{_label(node_id)}.{_NODES}"


def replica_name(replica_id: str, node_id: str) -> str:
    """The name by which a replica is asked for at its node."""
    return f"{_label(replica_id)}.{node_name(node_id)}"


def _label(identifier: str) -> str:
    """An identifier as a part of a host name, which knows no underscore and no upper case."""
    return identifier.replace("_", "-").lower()
