"""What a node says of its member of a replica."""

from __future__ import annotations

import asyncio
from typing import Any

from aicp.agent.records import ReplicaRecord
from aicp.core.launch import ObservedMember, ReplicaMember
from aicp.enforcers.base import Consumption


def member_report(
    record: ReplicaRecord, member: ReplicaMember, used: Consumption, pid: int | None, exit_code: int | None, **own: Any
) -> ObservedMember:
    """Its process, and what that uses and is held to; `own` is how it stands, where others may stand differently."""
    return ObservedMember(
        node_id=member.node_id,
        pid=pid,
        exit_code=exit_code,
        memory_bytes=used.memory_bytes,
        memory_peak_bytes=used.memory_peak_bytes,
        cpu_seconds=used.cpu_seconds,
        limits=record.limits,
        allocation=member.allocation,
        **(own if member.seat is not None else {}),
    )


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Ends what only watched; what it would have answered is of no use any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
