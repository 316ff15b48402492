"""Whom a client believes over TLS: the system's authorities, a given one, or exactly one certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from aicp.core.errors import InvalidError


def trusting(ca: Path | None) -> ssl.SSLContext:
    """Trusts what `ca` (PEM) holds, an authority or a server's own certificate; the system's authorities without it."""
    return _context(ca)


def pinned(certificate: Path | None) -> ssl.SSLContext:
    """Trusts exactly `certificate`: it is this machine's own platform, whatever name the certificate carries."""
    context = _context(certificate)
    context.check_hostname = certificate is None
    return context


def _context(file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(file) if file else None)
    except OSError as error:  # ssl.SSLError is one
        raise InvalidError(
            f"The certificate {file} cannot be read ({error}).", hint="Name a PEM file that this user may read."
        ) from error
    # a server's own certificate is enough; it need not be an authority
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
