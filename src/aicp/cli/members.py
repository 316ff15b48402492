"""The members of replicas that span nodes, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from aicp.cli.output import print_table
from aicp.core.quantity import format_bytes
from aicp.core.replica import Replica


def print_members(replicas: Sequence[Replica]) -> None:
    """Nothing where no replica that has not ended spans nodes."""
    rows = [
        (replica.id, rank, part)
        for replica in replicas
        if replica.ended_at is None or len(replicas) == 1
        for rank, part in enumerate(replica.members)
    ]
    if not rows:
        return
    print_table(
        rows,
        [
            ("replica", lambda row: row[0]),
            ("member", lambda row: "0 (leads)" if row[1] == 0 else row[1]),
            ("state", lambda row: row[2].state or "not started"),
            ("node", lambda row: row[2].node),
            ("pid", lambda row: row[2].pid),
            ("memory", lambda row: format_bytes(row[2].memory_bytes) if row[2].memory_bytes else None),
            ("reason", lambda row: row[2].reason),
        ],
        empty="",
    )
