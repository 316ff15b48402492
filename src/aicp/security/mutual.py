"""Addresses inside the platform where both sides prove who they are, `mtls://NAME@HOST:PORT`, and what proves it.

HOST and PORT say where to connect to; NAME is what the other side's certificate must be made out to, and the name that
is asked for in the handshake. So machines can move, and no certificate holds the address of one.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aicp.security.tls import client_context, server_context

SCHEME = "mtls"
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
    parts = urlsplit(address)
    rest = parts.path or parts.query or parts.fragment or parts.password
    if parts.scheme != SCHEME or not parts.username or not parts.hostname or not parts.port or rest:
        raise ValueError(f"{address!r} is no address of the form {SCHEME}://NAME@HOST:PORT")
    if not address.isascii():
        raise ValueError(f"{address!r} is not written in ASCII")
    return MutualAddress(parts.username, parts.hostname, parts.port)


def node_name(node_id: str) -> str:
    """The name in a node's certificate; what is below it is the node's, too."""
    return f"{_label(node_id)}.{_NODES}"


def replica_name(replica_id: str, node_id: str) -> str:
    """The name by which a replica is asked for at its node."""
    return f"{_label(replica_id)}.{node_name(node_id)}"


def _label(identifier: str) -> str:
    """An identifier as a part of a host name, which knows no underscore and no upper case."""
    return identifier.replace("_", "-").lower()


class Credentials:
    """This process's certificate, its key and the authority that both sides trust, each a PEM file.

    They are renewed while processes run: the files are looked at with every use, and read where they have changed.
    """

    def __init__(self, certificate: Path, key: Path, authority: Path) -> None:
        self._certificate, self._key, self._authority = certificate, key, authority
        self._client: ssl.SSLContext | None = None
        self._server: ssl.SSLContext | None = None
        self._client_read: object = None
        self._server_read: object = None

    @classmethod
    def kept(cls, directory: Path, name: str) -> Credentials:
        """Those kept as `<name>.pem`, `<name>.key` and `ca.pem` in a directory."""
        return cls(directory / f"{name}.pem", directory / f"{name}.key", directory / "ca.pem")

    def client(self) -> ssl.SSLContext:
        """To connect with. Raises OSError while the files are not there or do not belong together."""
        now = self._state()
        if self._client is None or self._client_read != now:
            self._client = client_context(self._certificate, self._key, self._authority)
            self._client_read = now
        return self._client

    def server(self) -> ssl.SSLContext:
        """To listen with; who connects must have a certificate of the authority. The same object each time: what
        listens with it already proves itself with the renewed certificate after another call. Raises OSError."""
        now = self._state()
        if self._server is None:
            self._server = server_context(self._certificate, self._key, self._authority, require_client=True)
        elif self._server_read != now:
            self._server.load_cert_chain(self._certificate, self._key)
        self._server_read = now
        return self._server

    def _state(self) -> object:
        return [
            (found.st_mtime_ns, found.st_ino)
            for found in (path.stat() for path in (self._certificate, self._key, self._authority))
        ]
