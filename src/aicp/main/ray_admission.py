"""Who is let into the platform's Ray, and how those that were are put out again."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict

from aicp.core.clock import SystemClock
from aicp.core.errors import ConflictError, InvalidError
from aicp.core.join import RayAdmission
from aicp.main.cluster_settings import split_address
from aicp.main.ray_head import authority_dir, trust
from aicp.main.settings import Settings
from aicp.security.ray_trust import RayTrust
from aicp.telemetry.processes import read_identity


class RayMembers:
    """See RayDoor."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._expected = settings.data_dir / "run" / "ray-removal"

    def admit(self, address: str) -> RayAdmission:
        """See RayDoor."""
        settings = self._settings
        head = split_address(settings.ray_address)[0]
        if ipaddress.ip_address(head).is_loopback:
            raise ConflictError(
                f"Ray's head listens on {head}, where no other machine reaches it.",
                hint="Start the platform with AICP_RAY_ADDRESS=IP:PORT, an address of its machine that others reach.",
            )
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise InvalidError(
                f"Ray reaches machines by IP address, and this one is called {address!r}.",
                hint="Join with `--address` and an IP address of this machine that the others reach.",
            ) from error
        papers = asdict(trust(settings).admit(address))
        patience = settings.ray_reconnect_seconds
        return RayAdmission(head=settings.ray_address, address=address, reconnect_seconds=patience, **papers)

    def authority(self) -> str:
        """See RayDoor."""
        return trust(self._settings).authority

    def expect(self, *, removal: bool) -> None:
        """See RayDoor."""
        if removal:
            self._expected.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._expected.touch(mode=0o600)
        else:
            self._expected.unlink(missing_ok=True)

    def resume(self) -> None:
        """Ends what an earlier process may have been killed in: a node removed, and Ray not told of it."""
        if self._expected.exists():
            self.expel()

    def expel(self) -> None:
        """See RayDoor. Ray knows no list of revoked papers, and one token for all: everybody's are taken back.

        The head is started anew with new ones; machines that are nodes fetch theirs.
        """
        RayTrust.replace(authority_dir(self._settings), SystemClock().now())
        with suppress(OSError, ValueError):
            head = read_identity(json.loads((self._settings.data_dir / "run" / "ray-head.json").read_text()))
            if head is not None and head.alive():
                os.kill(head.pid, signal.SIGKILL)  # the supervisor starts it again
        self.expect(removal=False)
