"""Whether a running replica can be held to another allocation."""

from __future__ import annotations

from collections.abc import Sequence

from aicp.agent.site import Site
from aicp.core.errors import ConflictError
from aicp.core.launch import Allocation, ReplicaLaunch, ReplicaMember
from aicp.core.quantity import format_bytes
from aicp.enforcers.base import Consumption, LiveResize


def refuse_resize(site: Site, enforcers: Sequence[str], allocation: Allocation, used: Consumption) -> None:
    """Raises ConflictError in words when `allocation` cannot be had without a new start."""
    for name in enforcers:
        enforcer = site.enforcers.get(name)
        if enforcer.unavailable() is None and not (isinstance(enforcer, LiveResize) and enforcer.can_resize()):
            raise ConflictError(
                f"Limits held by {name} cannot change while the engine runs.",
                hint="Change another setting with it, so that new replicas replace the present ones.",
            )
    held = used.memory_bytes or 0
    if 0 < allocation.memory_bytes < held:
        raise ConflictError(
            f"The engine uses {format_bytes(held)} now; it cannot be held to {format_bytes(allocation.memory_bytes)}.",
            hint="Ask for more memory, or for fewer users or a shorter context with it.",
        )


def with_member(launch: ReplicaLaunch, member: ReplicaMember) -> ReplicaLaunch:
    """`launch` with the member of one node replaced."""
    members = [member if item.node_id == member.node_id else item for item in launch.members]
    return launch.model_copy(update={"members": members})
