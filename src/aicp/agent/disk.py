"""Failures of the node's disk in words a user can act on."""

from __future__ import annotations

import errno

from aicp.core.errors import AicpError, NoSpaceError, UnavailableError


def explain_disk(error: OSError, consequence: str) -> AicpError:
    """`consequence` says what did not happen because of `error`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            f"The node's disk is full. {consequence}.", hint="Free space in the data directory; it is tried again."
        )
    return UnavailableError(f"{consequence}: {error.strerror} ({error.filename}).")
