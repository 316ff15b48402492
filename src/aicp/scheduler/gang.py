"""Replicas that span nodes: a leader and followers of the same size, each on a node of its own, all of them or none."""

from __future__ import annotations

from collections.abc import Collection

from aicp.scheduler.board import Board
from aicp.scheduler.placement import Placement, place
from aicp.scheduler.refusal import Refusal, refuse
from aicp.scheduler.resources import Requirement, Snapshot
from aicp.scheduler.room import NodeRoom


def place_replica(need: Requirement, snapshot: Snapshot, service: str = "") -> tuple[Placement, ...] | Refusal:
    """A place for one replica: its only member's, or those of a gang."""
    if need.nodes > 1:
        return place_gang(need, snapshot, service)
    found = place(need, snapshot, service)
    return found if isinstance(found, Refusal) else (found,)


def place_gang(need: Requirement, snapshot: Snapshot, service: str = "") -> tuple[Placement, ...] | Refusal:
    """Places for all `need.nodes` members, the leader first, or why there are not enough.

    One member needs what `need` says, so that any nodes which could take one each will do; nodes that share the
    value of the pool's label `near` are taken where there are enough of them.
    """
    members = place_members(Board(snapshot), need, service)
    if members is not None:
        return members
    reasons = tuple(
        reason
        for node, held in snapshot.by_node()
        if node.pool == need.pool
        and (reason := refuse(need, NodeRoom(node, held, snapshot.policy(need.pool)))) is not None
    )
    in_pool = sum(node.pool == need.pool for node in snapshot.nodes)
    if need.nodes == 1 or in_pool == len(reasons):
        return Refusal(need.pool, reasons)
    return Refusal(need.pool, reasons, blocked=too_few(need, in_pool - len(reasons), in_pool))


def too_few(need: Requirement, able: int, in_pool: int) -> str:
    """The sentence about a gang that finds too few nodes."""
    if need.nodes > in_pool:
        return f"{need.nodes} nodes were asked, and pool {need.pool} has {in_pool}; ask for at most as many"
    return f"{need.nodes} nodes with room for one member each were asked, and {able} of {in_pool} have it"


def place_members(board: Board, need: Requirement, service: str) -> tuple[Placement, ...] | None:
    """Places for all members, counted as given on the board; None, and nothing counted, when one finds none."""
    if need.nodes == 1:
        return _place_on(board, need, service, None)
    for group in _near(board, need):
        members = _place_on(board, need, service, group)
        if members is not None:
            return members
    return _place_on(board, need, service, None)


def _near(board: Board, need: Requirement) -> list[frozenset[int]]:
    """Nodes that share a value of the pool's label, the smallest large enough set first."""
    label = board.snapshot.policy(need.pool).near
    groups: dict[str, set[int]] = {}
    for spot in board.nodes if label else ():
        value = spot.node.labels.get(label or "")
        if value is not None and spot.node.pool == need.pool:
            groups.setdefault(value, set()).add(spot.order)
    large = [(len(group), value) for value, group in groups.items() if len(group) >= need.nodes]
    return [frozenset(groups[value]) for _, value in sorted(large)]


def _place_on(
    board: Board, need: Requirement, service: str, only: Collection[int] | None
) -> tuple[Placement, ...] | None:
    made: list[Placement] = []
    used: set[int] = set()
    for _ in range(need.nodes):
        found = board.place(need, service, only=only, avoid=used)
        if found is None:
            for member in made:
                board.remove(service, member.allocation)
            return None
        board.add(service, found.allocation)
        used.add(board.number(found.allocation.node_id))
        made.append(found)
    return tuple(made)


def relief(need: Requirement, snapshot: Snapshot, service: str) -> list[str]:
    """Names of other services each of which would make room if it were stopped, at most three."""
    names = {item.service for item in snapshot.commitments} - {service}
    found: list[str] = []
    for name in sorted(names):
        without = snapshot.without(lambda item, name=name: item.service == name)
        if not isinstance(place_replica(need, without, service), Refusal):
            found.append(name)
    return found[:3]
