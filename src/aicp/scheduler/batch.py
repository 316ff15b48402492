"""All that waits, placed in one pass: the largest first, each where it leaves the least over, a reason for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from aicp.scheduler.board import Board
from aicp.scheduler.gang import place_members, too_few
from aicp.scheduler.packing import is_packable, pack
from aicp.scheduler.pending import Pending
from aicp.scheduler.placement import Placement
from aicp.scheduler.refusal import Refusal, refuse
from aicp.scheduler.resources import CPU, Requirement, Snapshot


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass decided: the members of every replica that was placed, the leader first, and why the others wait.

    Replicas that need the same share one refusal.
    """

    placements: dict[str, tuple[Placement, ...]] = field(default_factory=dict[str, tuple[Placement, ...]])
    refusals: dict[str, Refusal] = field(default_factory=dict[str, Refusal])


def place_all(pending: Iterable[Pending], snapshot: Snapshot) -> Outcome:
    """Places what it can, by priority and then the largest first; nothing is ever given twice or a gang split."""
    return place_on(Board(snapshot), pending)


def place_on(board: Board, pending: Iterable[Pending], *, in_turn: bool = False) -> Outcome:
    """The same on a board, which afterwards counts what was placed; with `in_turn` strictly in the order given."""
    outcome = Outcome()
    waiting: dict[Requirement, list[str]] = {}
    if in_turn:
        _place_each(board, pending, outcome, waiting)
    for _, items in groupby([] if in_turn else in_order(pending), key=lambda item: item.need.priority):
        _place_equal(board, list(items), outcome, waiting)
    for need, ids in waiting.items():
        refusal = explain(board, need)
        for replica_id in ids:
            outcome.refusals[replica_id] = refusal
    return outcome


def _place_equal(
    board: Board, items: Sequence[Pending], outcome: Outcome, waiting: dict[Requirement, list[str]]
) -> None:
    """Items of the same priority, in order; slices that can be combined are combined before the small rest."""
    packable = {need: is_packable(board, need) for need in {item.need for item in items}}
    first = next((place for place, item in enumerate(items) if packable[item.need]), len(items))
    _place_each(board, items[:first], outcome, waiting)
    combined = pack(board, [item for item in items if packable[item.need]])
    outcome.placements.update((replica_id, (place,)) for replica_id, place in combined.items())
    _place_each(board, [item for item in items[first:] if item.id not in combined], outcome, waiting)


def _place_each(
    board: Board, items: Iterable[Pending], outcome: Outcome, waiting: dict[Requirement, list[str]]
) -> None:
    for item in items:
        # While things are only added, what did not fit a moment ago does not fit now.
        if item.need in waiting:
            waiting[item.need].append(item.id)
            continue
        members = place_members(board, item.need, item.service)
        if members is None:
            waiting[item.need] = [item.id]
        else:
            outcome.placements[item.id] = members


def in_order(pending: Iterable[Pending]) -> list[Pending]:
    """By priority; then gangs, whole cards, slices, and what needs none; of each the largest first.

    Large things have the fewest places, so that small ones must not take these first.
    """
    sizes: dict[Requirement, tuple[float, ...]] = {}
    items = list(pending)
    for item in items:
        if item.need not in sizes:
            sizes[item.need] = _size(item.need)
    return sorted(items, key=lambda item: (sizes[item.need], item.service, item.id))


def _size(need: Requirement) -> tuple[float, ...]:
    asked = need.slice
    large = 0.0 if asked is None else asked.compute_percent / 100 + asked.memory_bytes / _CARD_BYTES
    rank = 2 if asked is not None else 3 if need.vendor == CPU or not need.accelerators else 1
    return (
        -need.priority,
        -need.nodes,
        rank,
        -need.devices,
        -large,
        -need.accelerator_memory_bytes,
        -need.memory_bytes,
    )


_CARD_BYTES = 80 * 2**30
"""What memory is measured against where slices are ordered by size."""


def explain(board: Board, need: Requirement) -> Refusal:
    """Why something does not fit, by the nodes that come nearest to taking it."""
    near = board.nearest(need)
    reasons = tuple(reason for spot in near if (reason := refuse(need, spot.room)) is not None)
    in_pool = sum(spot.node.pool == need.pool for spot in board.nodes)
    blocked = None
    if need.nodes > 1 and (in_pool < need.nodes or len(reasons) < len(near)):
        rooms = (spot.room for spot in board.nodes if spot.node.pool == need.pool)
        blocked = too_few(need, sum(refuse(need, room) is None for room in rooms), in_pool)
    return Refusal(need.pool, reasons, in_pool - len(reasons), blocked)
