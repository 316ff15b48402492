"""Moves that would make whole accelerators free: slices of hardly used cards go to cards that are cut anyway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aicp.core.launch import DeviceShare
from aicp.core.slice import SliceRequest
from aicp.scheduler.board import Board
from aicp.scheduler.placement import Placement
from aicp.scheduler.resources import CPU, Commitment, Requirement, Snapshot


@dataclass(frozen=True, slots=True)
class Move:
    """Start the replica again there, then stop it where it is."""

    replica_id: str
    service: str
    node: str
    to: Placement


@dataclass(frozen=True, slots=True)
class Proposal:
    """Moves, and the cards (node, device_id) that are free as a whole after them."""

    moves: tuple[Move, ...] = ()
    freed: tuple[tuple[str, str], ...] = ()


def defragment(
    snapshot: Snapshot, pool: str, at_most: int = 20, needs: Mapping[str, Requirement] | None = None
) -> Proposal:
    """What to move so that cards become free, at most so many moves; the cards that need the fewest come first.

    A card is emptied altogether or left alone, and no other card is cut for it. Replicas with slices of several cards
    or on several nodes stay where they are. `needs` says what each replica that may move needs; without it all may,
    and need what they have.
    """
    board = Board(snapshot)
    names = {node.id: node.name for node in snapshot.nodes if node.pool == pool}
    moves: list[Move] = []
    freed: list[tuple[str, str]] = []
    filled: set[tuple[str, str, str]] = set()
    for card, items in sorted(_cut_cards(snapshot, names).items(), key=lambda pair: (len(pair[1]), pair[0])):
        node_id, _, device_id = card
        if card in filled or len(moves) + len(items) > at_most or not all(_is_movable(item, needs) for item in items):
            continue
        found = _empty(board, card, [(item, _need(item, pool, needs)) for item in items])
        if found is None:
            continue
        for item, place in zip(items, found, strict=True):
            moves.append(Move(item.replica_id, item.service, names[node_id], place))
            [share] = place.allocation.devices
            filled.add((place.allocation.node_id, share.vendor, share.device_id))
        freed.append((names[node_id], device_id))
    return Proposal(tuple(moves), tuple(freed))


def _cut_cards(snapshot: Snapshot, names: dict[str, str]) -> dict[tuple[str, str, str], list[Commitment]]:
    members: dict[str, int] = {}
    cards: dict[tuple[str, str, str], list[Commitment]] = {}
    for item in snapshot.commitments:
        members[item.replica_id] = members.get(item.replica_id, 0) + 1
        for share in item.allocation.devices:
            if share.mechanism is not None and share.vendor != CPU and item.allocation.node_id in names:
                cards.setdefault((item.allocation.node_id, share.vendor, share.device_id), []).append(item)
    return {card: items for card, items in cards.items() if all(members[item.replica_id] == 1 for item in items)}


def _is_movable(item: Commitment, needs: Mapping[str, Requirement] | None) -> bool:
    return len(item.allocation.devices) == 1 and (needs is None or item.replica_id in needs)


def _empty(
    board: Board, card: tuple[str, str, str], items: list[tuple[Commitment, Requirement]]
) -> list[Placement] | None:
    """New places for all slices of a card, counted on the board; None, and nothing changed, where one finds none."""
    node_id, vendor, device_id = card
    held = DeviceShare(vendor=vendor, device_id=device_id, index=0)
    for item, _ in items:
        board.remove(item.service, item.allocation)
    # Taken as a whole meanwhile, so that nothing goes back to it.
    board.hold(node_id, held)
    found: dict[str, Placement] = {}
    for item, need in sorted(items, key=lambda pair: -pair[0].allocation.devices[0].memory_bytes):
        place = board.place(need, item.service, cut=False)
        if place is None:
            break
        board.add(item.service, place.allocation)
        found[item.replica_id] = place
    board.release(node_id, held)
    if len(found) == len(items):
        return [found[item.replica_id] for item, _ in items]
    for item, _ in items:
        if item.replica_id in found:
            board.remove(item.service, found[item.replica_id].allocation)
        board.add(item.service, item.allocation)
    return None


def _need(item: Commitment, pool: str, needs: Mapping[str, Requirement] | None) -> Requirement:
    """What a replica needs; where nobody says, read off what it has: rounded shapes stay as they are."""
    if needs is not None:
        return needs[item.replica_id]
    [share] = item.allocation.devices
    asked = SliceRequest(compute_percent=share.compute_percent, memory_bytes=share.memory_bytes, policy=share.policy)
    return Requirement(
        pool, share.vendor, 1, 0, item.allocation.cpu_cores, item.allocation.memory_bytes, asked, project=item.project
    )
