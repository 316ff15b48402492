"""Where the replicas of a node would go if it were drained. Pure: the loop decides anew when it comes to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aicp.scheduler.gang import place_replica
from aicp.scheduler.placement import Commitment, Refusal, Requirement, Snapshot


@dataclass(frozen=True, slots=True)
class Leaving:
    """A replica on the node that is drained."""

    replica_id: str
    service: str
    requirement: Requirement


@dataclass(frozen=True, slots=True)
class Move:
    """The node that takes the next replica, or why none does."""

    replica_id: str
    node: str | None
    reason: str | None = None


def plan_moves(node_id: str, leaving: Sequence[Leaving], snapshot: Snapshot) -> list[Move]:
    """One answer a replica, in order; each new one is made before the old one ends, on another node."""
    closed = "it is being drained"
    nodes = tuple(replace(node, unschedulable=closed) if node.id == node_id else node for node in snapshot.nodes)
    tried = replace(snapshot, nodes=nodes)
    moves: list[Move] = []
    for item in leaving:
        answer = place_replica(item.requirement, tried, item.service)
        if isinstance(answer, Refusal):
            moves.append(Move(item.replica_id, None, f"{answer.sentence}."))
        else:
            moved = f"moved-{item.replica_id}"
            tried = tried.plus(*(Commitment(moved, item.service, one.allocation) for one in answer))
            moves.append(Move(item.replica_id, answer[0].node))
    return moves
