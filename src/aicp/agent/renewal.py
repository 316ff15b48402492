"""A joined node's certificate is renewed long before it ends."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from aicp.client.joins import renew
from aicp.core.clock import Clock
from aicp.core.errors import AicpError
from aicp.security.authority import make_request, needs_renewal, write_secret
from aicp.security.tls_identity import TlsIdentity

log = logging.getLogger(__name__)

_LOOK_SECONDS = 3600.0


async def keep_renewed(directory: Path, name: str, control_url: str, credentials: TlsIdentity, clock: Clock) -> None:
    """Until canceled. `<name>.pem` and `<name>.key` are in `directory`; the key stays."""
    while True:
        certificate = directory / f"{name}.pem"
        if needs_renewal(certificate, clock.now()):
            try:
                fresh = await renew(
                    control_url, credentials.client, make_request((directory / f"{name}.key").read_text())
                )
                write_secret(certificate, fresh)
                credentials.server()  # what listens shows the new one from now on
                log.info("the certificate of this node was renewed")
            except (AicpError, OSError, ValueError) as error:
                log.warning("the certificate of this node was not renewed, and is tried again: %s", error)
        await asyncio.sleep(_LOOK_SECONDS)
