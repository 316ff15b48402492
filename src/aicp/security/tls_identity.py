"""What this process proves itself with to the platform's other processes, and what it believes of them."""

from __future__ import annotations

import ssl
from pathlib import Path

from aicp.security.tls import client_context, server_context


class TlsIdentity:
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
    def kept(cls, directory: Path, name: str) -> TlsIdentity:
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
