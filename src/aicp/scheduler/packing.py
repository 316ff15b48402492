"""Slices of a pool that packs: first the room on cards that are cut already, then patterns on whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aicp.core.slice import SliceSize
from aicp.scheduler.board import Board
from aicp.scheduler.card_index import Kind
from aicp.scheduler.patterns import Bin, plan
from aicp.scheduler.pending import Pending
from aicp.scheduler.placement import Placement, bind_slices
from aicp.scheduler.resources import CPU, Order, Requirement

_MOST_SIZES = 800
"""Different requirements beyond which patterns are not looked for: they would not repeat, and best fit does well where
there is a part of every size."""


def is_packable(board: Board, need: Requirement) -> bool:
    """Whether patterns may place it: one slice on any node of a pool that packs."""
    return (
        need.slice is not None
        and need.devices == 1
        and need.nodes == 1
        and need.vendor != CPU
        and need.model_digest is None
        and board.snapshot.policy(need.pool).order == Order.PACK
        and board.search(need).allowed is None
    )


def pack(board: Board, items: Sequence[Pending]) -> dict[str, Placement]:
    """Places for as many of `items` as patterns find, counted as given on the board."""
    groups: dict[tuple[str, str], list[Pending]] = {}
    for item in items:
        groups.setdefault((item.need.pool, item.need.vendor), []).append(item)
    placed: dict[str, Placement] = {}
    for group in groups.values():
        left = _fill_cut(board, group, placed)
        _cut_new(board, left, placed)
    return placed


def _fill_cut(board: Board, items: Sequence[Pending], placed: dict[str, Placement]) -> list[Pending]:
    left: list[Pending] = []
    full: set[Requirement] = set()
    for item in items:
        found = None if item.need in full else board.place(item.need, item.service, cut=False)
        if found is None:
            full.add(item.need)
            left.append(item)
        else:
            board.add(item.service, found.allocation)
            placed[item.id] = found
    return left


@dataclass(frozen=True, slots=True)
class _Cards:
    """Cards of one kind, cut by one mechanism into the slices given for each requirement."""

    kind: Kind
    sizes: tuple[SliceSize | None, ...]


def _cut_new(board: Board, items: Sequence[Pending], placed: dict[str, Placement]) -> None:
    waiting: dict[Requirement, list[Pending]] = {}
    for item in items:
        waiting.setdefault(item.need, []).append(item)
    if len(waiting) > _MOST_SIZES:
        return
    needs = list(waiting)
    queues = [waiting[need][::-1] for need in needs]
    cards, bins, stocks = _bins(board, needs)
    for use in plan(bins, stocks, [len(queue) for queue in queues]):
        chosen = cards[use.bin]
        slices = [(queues[number], chosen.sizes[number]) for number, count in use.pattern for _ in range(count)]
        memory = sum(needs[number].memory_bytes * count for number, count in use.pattern)
        cores = sum(needs[number].cpu_cores * count for number, count in use.pattern)
        for _ in range(use.times):
            _cut(board, chosen.kind, slices, (memory, cores), placed)


def _bins(board: Board, needs: Sequence[Requirement]) -> tuple[list[_Cards], list[Bin], list[int]]:
    """The cards that are free as a whole, once for each mechanism by which they could be cut."""
    sizes: dict[Kind, dict[int, SliceSize]] = {}
    for number, need in enumerate(needs):
        for kind, sized in board.search(need).kinds:
            sizes.setdefault(kind, {})[number] = sized[0][0]
    cards: list[_Cards] = []
    bins: list[Bin] = []
    stocks: list[int] = []
    for kind, by_need in sizes.items():
        stocks.append(sum(count * len(nodes) for count, nodes in kind.whole.items()))
        for way in kind.device.slicing:
            mine = tuple(
                size if size is not None and size.mechanism == way.mechanism else None
                for size in map(by_need.get, range(len(needs)))
            )
            if any(mine):
                parts = tuple((size.compute_percent, size.memory_bytes) if size else None for size in mine)
                cards.append(_Cards(kind, mine))
                bins.append(Bin(len(stocks) - 1, 100, kind.cuttable(way), parts, way.at_most))
    return cards, bins, stocks


def _cut(
    board: Board,
    kind: Kind,
    slices: Sequence[tuple[list[Pending], SliceSize | None]],
    host: tuple[int, float],
    placed: dict[str, Placement],
) -> None:
    """Cuts one card by a pattern; what does not go there after all stays in its queue."""
    found = board.empty_card(kind, *host)
    if found is None:
        return
    spot, room = found
    for queue, size in slices:
        if not queue or size is None:
            continue
        item = queue[-1]
        asked = item.need.slice
        if item.need.cpu_cores > spot.node.cpu_cores or asked is None or room.size(asked, spot.memory_free) != size:
            continue
        queue.pop()
        allocation = bind_slices(item.need, spot.node, ((room, size),))
        board.add(item.service, allocation)
        placed[item.id] = Placement(spot.node.name, allocation)
