"""The control plane's door for further machines, and the certificates of this machine's processes."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from aicp.api.cluster import create_door
from aicp.control.joins import Cluster
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError
from aicp.core.mutual import CONTROL_NAME
from aicp.main.cluster_settings import split_address
from aicp.main.ray_admission import RayMembers
from aicp.main.settings import Settings
from aicp.runners.base import AgentAddress
from aicp.security.authority import CONTROL, GATEWAY, Authority, keep_issued
from aicp.security.tls import peer_identity, server_context
from aicp.security.tls_identity import TlsIdentity
from aicp.web.serving import serve_app

log = logging.getLogger(__name__)

_LOOK_SECONDS = 3600.0
_ISSUED = (("control", CONTROL, (CONTROL_NAME,)), ("gateway", GATEWAY, ()))


def authority_dir(data_dir: Path) -> Path:
    """Where the authority and the certificates that it issued for this machine are."""
    return data_dir / "run" / "authority"


def open_cluster(settings: Settings, clock: Clock) -> Cluster | None:
    """The authority, with fresh certificates of control and gateway; None while the platform takes no machines.

    Raises InvalidError when the authority's files are damaged.
    """
    if not settings.cluster_address:
        return None
    directory = authority_dir(settings.data_dir)
    try:
        authority = Authority.open(directory, clock)
        issue(authority, directory)
    except ValueError as error:
        raise InvalidError(f"The platform's certificate authority cannot be used: {error}.") from error
    host, port = split_address(settings.cluster_address)
    host = _outside_address() if host in ("0.0.0.0", "::") else host
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    ray = RayMembers(settings) if settings.runner == "ray" else None
    if ray is not None:
        ray.resume()
    return Cluster(authority, shown, settings.node_lease_seconds, ray)


def issue(authority: Authority, directory: Path) -> bool:
    """Sees to the certificates of this machine's processes; whether one is new."""
    renewed = [keep_issued(authority, directory, *names) for names in _ISSUED]
    return any(renewed)


def agent_of(settings: Settings, address: str) -> AgentAddress:
    """How control reaches the agent of a joined node."""
    own = TlsIdentity.kept(authority_dir(settings.data_dir), "control")
    return AgentAddress(address, "", own.client, settings.node_lease_seconds)


class ClusterDoor:
    """Serves nodes, and keeps certificates fresh while it does."""

    def __init__(self, settings: Settings, cluster: Cluster, use_cases: Mapping[type, object], clock: Clock) -> None:
        self._directory = authority_dir(settings.data_dir)
        self._cluster = cluster
        self._app = create_door(use_cases, clock)
        self._tls: ssl.SSLContext = server_context(*self._files(), self._directory / "ca.pem", require_client=False)

    async def serve(self, listeners: list[socket.socket], stop: asyncio.Event) -> None:
        """Until `stop`."""
        renewal = asyncio.create_task(self._keep_fresh())
        try:
            await serve_app(self._app, listeners, stop, tls=self._tls, identify=peer_identity)
        finally:
            renewal.cancel()

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if issue(self._cluster.authority, self._directory):
                    self._tls.load_cert_chain(*self._files())
            except (OSError, ValueError) as error:
                log.warning("certificates were not renewed, and are tried again: %s", error)

    def _files(self) -> tuple[Path, Path]:
        return self._directory / "control.pem", self._directory / "control.key"


def _outside_address() -> str:
    """The address of this machine that others most likely reach; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
