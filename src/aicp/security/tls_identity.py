"""What this process proves itself with to the platform's other processes, and what it believes of them."""

from __future__ import annotations

import ssl
from pathlib import Path

from aicp.security.tls import client_context, server_context


class TlsIdentity:
    """This process's certificate, its key and the authority that both sides trust, each a PEM file.

    They are renewed while processes run: the files are looked at with every call, and read where they have changed.
    What was given out before then proves itself with the renewed ones, too.
    """

    def __init__(self, certificate: Path, key: Path, authority: Path) -> None:
        self._certificate, self._key, self._authority = certificate, key, authority
        self._contexts: dict[bool, tuple[ssl.SSLContext, object]] = {}

    @classmethod
    def kept(cls, directory: Path, name: str) -> TlsIdentity:
        """The one kept as `<name>.pem`, `<name>.key` and `ca.pem` in a directory."""
        return cls(directory / f"{name}.pem", directory / f"{name}.key", directory / "ca.pem")

    def client(self) -> ssl.SSLContext:
        """To connect with. Raises OSError while the files are not there or do not belong together."""
        return self._context(listens=False)

    def server(self) -> ssl.SSLContext:
        """To listen with; who connects must have a certificate of the authority. Raises OSError."""
        return self._context(listens=True)

    def _context(self, *, listens: bool) -> ssl.SSLContext:
        now = [(found.st_mtime_ns, found.st_ino) for found in (path.stat() for path in self._files())]
        context, read = self._contexts.get(listens, (None, None))
        if context is None and listens:
            context = server_context(*self._files(), require_client=True)
        elif context is None:
            context = client_context(*self._files())
        elif read != now:
            context.load_verify_locations(self._authority)
            context.load_cert_chain(self._certificate, self._key)
        self._contexts[listens] = context, now
        return context

    def _files(self) -> tuple[Path, Path, Path]:
        return self._certificate, self._key, self._authority
