"""What a socket says to callers of every kind: in the clear, in TLS without a certificate, and with one."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a caller of gRPC begins; a server answers with its own settings."""
HTTP1 = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_SECONDS = 3


def said(host: str, port: int, words: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """What the socket answers to `words`; empty when it refuses."""
    try:
        with socket.create_connection((host, port), _SECONDS) as wire:
            if tls is None:
                return _answer(wire, words)
            with tls.wrap_socket(wire) as connection:
                return _answer(connection, words)
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return b""


def _answer(wire: socket.socket, words: bytes) -> bytes:
    wire.settimeout(_SECONDS)
    wire.sendall(words)
    return wire.recv(64)


def caller(protocol: str, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """One that believes everybody, and shows what it has."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def is_closed_to_strangers(host: str, port: int) -> bool:
    """Whether a caller without a certificate gets nothing, in the clear and in TLS, by HTTP/1 and HTTP/2."""
    spoken = {"http/1.1": HTTP1, "h2": HTTP2}
    clear = [said(host, port, words) for words in spoken.values()]
    # an alert of TLS, with which a server refuses words in the clear, tells nothing
    return not any(text and text[:1] != b"\x15" for text in clear) and not any(
        said(host, port, words, caller(protocol)) for protocol, words in spoken.items()
    )
