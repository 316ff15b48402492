"""Connections of client libraries to addresses that a user named: checked where the library looks a name up.

A library resolves a name itself when it connects, so a check beforehand can be answered differently (DNS rebinding).
Inside `checked_connections` the look-up itself is checked, for every connection and redirect: what comes out of it is
what the library connects to, with its own server name, certificate check and Host header.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from aicp.core.errors import MalformedError
from aicp.security.addresses import refuse_address

_allowed: ContextVar[tuple[str, ...] | None] = ContextVar("checked_connections", default=None)
_system = socket.getaddrinfo
_installing = threading.Lock()


@contextmanager
def checked_connections(allowed_networks: Sequence[str]) -> Iterator[None]:
    """Inside, this thread connects only to public addresses and to `allowed_networks` (names, addresses, CIDR blocks).

    A connection to another one raises MalformedError `url_not_allowed`. Threads that a library starts itself are not
    covered. The administrator's proxy (HTTPS_PROXY, ...) may be anywhere; it then resolves names in our place.
    """
    with _installing:
        if socket.getaddrinfo is not _checked:
            global _system
            _system = socket.getaddrinfo
            socket.getaddrinfo = _checked
    token = _allowed.set(tuple(allowed_networks))
    try:
        yield
    finally:
        _allowed.reset(token)


def _checked(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
    found = _system(host, port, *args, **options)
    allowed = _allowed.get()
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    if allowed is None or name in _proxies():
        return found
    for entry in found:
        address = str(entry[4][0]).partition("%")[0]
        reason = refuse_address(ip_address(address), name.rstrip(".").lower(), allowed)
        if reason is not None:
            raise MalformedError(
                f"{name[:200]!r} may not be connected to: {reason}.",
                code="url_not_allowed",
                hint="A private mirror can be opened by the administrator with the setting import_allowed_networks.",
            )
    return found


def _proxies() -> set[str]:
    # `no_proxy` is no proxy; an address without a scheme is common, and the libraries take it
    named = (proxy for kind, proxy in getproxies().items() if kind != "no")
    return {host for proxy in named if (host := urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname)}
