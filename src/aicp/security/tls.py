"""Trust between the platform's own processes when they speak TLS."""

from __future__ import annotations

import ssl
from pathlib import Path


def pinned(certificate: Path) -> ssl.SSLContext:
    """Trusts exactly what `certificate` (PEM) holds, whatever name it was made out to: we call our own loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    # the server's own certificate is enough; it need not be an authority
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context
