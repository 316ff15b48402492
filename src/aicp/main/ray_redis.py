"""Whether the Redis that is to keep the state of Ray's head can be believed, asked before Ray is.

Ray ends in a trace of its own where it cannot, and compares no name with the certificate; here a person reads why.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aicp.core.errors import UnavailableError

_SECONDS = 5.0


def check_redis(address: str, authority: Path | None) -> None:
    """Raises UnavailableError when it is not there, shows another certificate, or takes no such password."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 6379
    try:
        with socket.create_connection((host, port), _SECONDS) as wire:
            if parts.scheme == "rediss":
                context = ssl.create_default_context(cafile=str(authority))
                with context.wrap_socket(wire, server_hostname=host) as connection:
                    answer = _authenticate(connection, unquote(parts.password or ""))
            else:
                answer = _authenticate(wire, unquote(parts.password or ""))
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"The Redis at {host}:{port} that keeps the state of Ray cannot be used: {error}.",
            hint="Look at AICP_RAY_REDIS, AICP_RAY_REDIS_AUTHORITY and the certificate of Redis, which must name "
            f"{host}.",
        ) from error
    if not answer.startswith("+"):
        reason = answer.removeprefix("-")
        raise UnavailableError(
            f"The Redis at {host}:{port} that keeps the state of Ray does not let the platform in: {reason}.",
            hint="Look at the password in AICP_RAY_REDIS.",
        )


def _authenticate(wire: socket.socket, password: str) -> str:
    """The first line of what Redis says to the password."""
    words = [b"AUTH", password.encode()]
    wire.sendall(b"*2\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    heard = b""
    while not heard.endswith(b"\r\n"):
        more = wire.recv(4096)
        if not more:
            raise ConnectionResetError("it closed the connection")
        heard += more
    return heard.decode(errors="replace").splitlines()[0]
