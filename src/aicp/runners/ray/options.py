"""What this runner is told of its cluster."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aicp.core.errors import InvalidError
from aicp.core.ray_member import LEAST_RECONNECT_SECONDS, RayMember


@dataclass(frozen=True, slots=True)
class RayOptions:
    """`directory` holds the membership of this machine, `head` is HOST:PORT of the head on it."""

    directory: Path
    head: str
    reconnect_seconds: int

    @property
    def member(self) -> RayMember:
        """This machine's membership."""
        return RayMember(self.directory, self.head, self.head.rpartition(":")[0].strip("[]"))


def read_options(values: Mapping[str, Any]) -> RayOptions:
    """From settings, by their names without `ray_`. Raises InvalidError that names the setting."""
    head = str(values.get("address") or "127.0.0.1:6379")
    host, _, port = head.rpartition(":")
    try:
        anywhere = ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        anywhere = True
    if anywhere or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidError(
            f"AICP_RAY_ADDRESS is {head!r}.",
            hint="Write the IP address of this machine that the other ones reach, and a port: 10.0.0.1:6379.",
        )
    seconds = int(values.get("reconnect_seconds") or LEAST_RECONNECT_SECONDS)
    if seconds < LEAST_RECONNECT_SECONDS:
        raise InvalidError(
            f"AICP_RAY_RECONNECT_SECONDS is {seconds}.",
            hint=f"Write at least {LEAST_RECONNECT_SECONDS}: a head that is started anew needs its time.",
        )
    _check_redis(str(values.get("redis") or ""), values.get("redis_authority"))
    return RayOptions(Path(values.get("run_dir") or ".") / "ray", head, seconds)


def _check_redis(address: str, authority: Path | None) -> None:
    """A Redis beyond loopback is spoken to with TLS, and every one with a password: who writes there runs code."""
    if not address:
        return
    try:
        parts = urlsplit(address)
        whole = bool(parts.scheme in ("redis", "rediss") and parts.hostname and parts.password and parts.port != 0)
    except ValueError:
        whole = False
    if not whole:
        raise InvalidError(
            "AICP_RAY_REDIS is no address of a Redis with a password.",
            hint="Write rediss://:password@host:6379, or redis://:password@127.0.0.1:6379 on this machine; in the "
            "password / is %2F, # is %23, @ is %40, [ is %5B.",
        )
    parts = urlsplit(address)
    try:
        own = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        own = False
    if parts.scheme == "redis" and not own:
        raise InvalidError(
            f"AICP_RAY_REDIS would send Ray's state and a password to {parts.hostname} in the clear.",
            hint="Write rediss:// (TLS), or keep Redis on this machine's loopback.",
        )
    if parts.scheme == "rediss" and (authority is None or not authority.is_file()):
        raise InvalidError(
            f"AICP_RAY_REDIS speaks TLS, and AICP_RAY_REDIS_AUTHORITY names no file: {str(authority or '')!r}.",
            hint="Write there the PEM file of the authority that signed the certificate of Redis.",
        )
