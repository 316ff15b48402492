"""Accelerators ordered by what is free of them, so that the best place is found without looking at every card.

A card is cut in whole hundredths of its compute. So for every kind of card and every mechanism there are 101 lists, one
for each share of compute that may be free, each ordered by free memory: the tightest card for a slice is found with at
most 101 binary searches. Whole cards are kept by node, ordered by how many of them are free there.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import replace

from aicp.core.slice import SliceRequest, SliceSize, Slicing, size_slice
from aicp.scheduler.resources import CPU, Device, NodeCapacity
from aicp.scheduler.room import DeviceRoom, NodeRoom, cuttable_bytes, largest_bytes

Entry = tuple[int, int]
"""(what it is ordered by, number of the card or node)."""


Sized = tuple[SliceSize, int]
"""A slice, and how much memory one of such a card may have at most where nobody else holds any."""


class Kind:
    """Cards of one pool that are alike: vendor, product, memory, ways to be cut, and who may have them."""

    __slots__ = ("_clean", "cut", "device", "strained", "whole")

    def __init__(self, device: Device) -> None:
        self.device = device
        self._clean = replace(device, foreign_bytes=0)
        self.cut: dict[str, list[list[Entry]]] = {}
        """By mechanism, by free hundredths: (free memory, card)."""
        self.whole: dict[int, list[Entry]] = {}
        """By number of free cards of this kind on a node: (free host memory, node)."""
        self.strained: list[int] = []
        """Cards that others hold too much of to be given whole, and that are not cut yet."""

    def matches(self, device: Device) -> bool:
        """Whether a device belongs to this kind; vendor and product were compared before."""
        mine = self.device
        return mine.memory_bytes == device.memory_bytes and mine.slicing == device.slicing

    def sizes(self, asked: SliceRequest) -> list[Sized]:
        """The slices it would give for what is asked, one for each way that can, the best first."""
        found: list[Sized] = []
        for way in self.device.slicing:
            size = size_slice(asked, way)
            most = largest_bytes(self._clean, way)
            if size is not None and (size.memory_bytes <= most or self.device.vendor == CPU):
                found.append((size, most))
        return found

    def cuttable(self, way: Slicing) -> int:
        """Memory that may be promised to the slices of such a card together where nobody else holds any."""
        return cuttable_bytes(self._clean, way)


class CardSpot:
    """Where one card stands in the index."""

    __slots__ = ("entry", "kind", "node", "order", "room")

    def __init__(self, room: DeviceRoom, kind: Kind, node: NodeSpot, order: int) -> None:
        self.room = room
        self.kind = kind
        self.node = node
        self.order = order
        self.entry: tuple[list[Entry], Entry] | None = None

    def enter(self) -> None:
        """Files the card by what is free of it."""
        room, kind = self.room, self.kind
        if room.free_whole:
            self.node.free[kind] += 1
        elif room.slices:
            way = next(iter(room.ways()), None)
            if way is None:
                return
            # Host memory changes with every replica of the node, so that it is looked at when the card is tried.
            free = 0 if kind.device.vendor == CPU else room.part(way, 0).memory_bytes
            levels = kind.cut.get(way.mechanism)
            if levels is None:
                levels = kind.cut[way.mechanism] = [[] for _ in range(101)]
            # More than the whole is given where a place is kept for one that comes while another still leaves.
            self.entry = (levels[max(0, 100 - room.compute)], (free, self.order))
            insort(*self.entry)
        elif not room.whole and room.device.healthy:
            kind.strained.append(self.order)

    def leave(self) -> None:
        """Takes the card out; what is free of it is about to change."""
        if self.room.free_whole:
            self.node.free[self.kind] -= 1
        elif self.entry is not None:
            entries, entry = self.entry
            del entries[bisect_left(entries, entry)]
            self.entry = None
        elif self.order in self.kind.strained:
            self.kind.strained.remove(self.order)


class NodeSpot:
    """Where one node stands in the index."""

    __slots__ = ("_by_id", "_filed", "cards", "free", "host", "memory_free", "order", "room")

    def __init__(self, room: NodeRoom, order: int, host: list[Entry]) -> None:
        self.room = room
        self.order = order
        self.host = host
        """All nodes of its pool: (free host memory, node)."""
        self.memory_free = 0
        self.free: dict[Kind, int] = {}
        self.cards: list[CardSpot] = []
        self._by_id: dict[tuple[str, str], CardSpot] = {}
        self._filed: list[tuple[list[Entry], Entry]] = []

    @property
    def node(self) -> NodeCapacity:
        return self.room.node

    def take(self, cards: Iterable[CardSpot]) -> None:
        """Its cards, once."""
        self.cards = list(cards)
        self.free = {spot.kind: 0 for spot in self.cards}
        self._by_id = {(spot.room.device.vendor, spot.room.device.device_id): spot for spot in self.cards}
        for spot in self.cards:
            spot.enter()
        self.file()

    def spots(self, keys: Iterable[tuple[str, str]]) -> list[CardSpot]:
        """Cards by (vendor, device_id); those that are gone are left out."""
        return [spot for key in keys if (spot := self._by_id.get(key)) is not None]

    def file(self) -> None:
        """Files the node by its free host memory, once, and for each kind of card by how many are free."""
        self.memory_free = self.room.memory_free
        entry = (self.memory_free, self.order)
        self._filed = [(self.host, entry)]
        for kind, count in self.free.items():
            if count:
                self._filed.append((kind.whole.setdefault(count, []), entry))
        for entries, item in self._filed:
            insort(entries, item)

    def unfile(self) -> None:
        """Takes the node out; what is free of it is about to change."""
        for entries, entry in self._filed:
            del entries[bisect_left(entries, entry)]

    def free_cards(self, kind: Kind) -> Iterator[DeviceRoom]:
        """Free whole cards of one kind, in the order of their indexes."""
        return (spot.room for spot in self.cards if spot.kind is kind and spot.room.free_whole)
