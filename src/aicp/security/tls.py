"""Trust between the platform's own processes when they speak TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any


def pinned(certificate: Path) -> ssl.SSLContext:
    """Trusts exactly what `certificate` (PEM) holds, whatever name it was made out to: we call our own loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    # the server's own certificate is enough; it need not be an authority
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context


def client_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """Connects with a certificate of its own, to who has one of the same `authority` (PEM files). Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _trusting(context, certificate, key, authority)


def server_context(certificate: Path, key: Path, authority: Path, *, require_client: bool) -> ssl.SSLContext:
    """Listens; who connects must have a certificate of `authority`, or may have one. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    return _trusting(context, certificate, key, authority)


def _trusting(context: ssl.SSLContext, certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(authority)
    context.load_cert_chain(certificate, key)
    return context


def peer_identity(connection: ssl.SSLObject | ssl.SSLSocket | None) -> str | None:
    """Who the other side proved to be (`aicp://gateway`, `aicp://node/<id>`); None without a certificate of ours."""
    shown = connection.getpeercert() if connection is not None else None
    names: Any = (shown or {}).get("subjectAltName", ())
    return next((value for kind, value in names if kind == "URI" and value.startswith("aicp://")), None)
