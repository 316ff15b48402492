"""What a replica has of which accelerators, in words."""

from __future__ import annotations

from aicp.core.launch import DeviceShare
from aicp.core.quantity import format_bytes
from aicp.core.replica import Replica


def devices_of(replica: Replica) -> str | None:
    """What it has of which accelerators, slices with the mechanism that holds them and what was rounded."""
    shares = replica.allocation.devices if replica.allocation else []
    return ", ".join(_share_text(share) for share in shares) or None


def _share_text(share: DeviceShare) -> str:
    if share.mechanism is None:
        return f"{share.vendor} {share.index}"
    rounding = f"; {share.rounding}" if share.rounding else ""
    size = f"{share.compute_percent} %, {format_bytes(share.memory_bytes)}"
    return f"{share.vendor} {share.index}: {size} by {share.mechanism}, {share.policy}{rounding}"
