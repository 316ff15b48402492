"""All nodes with their card maps and an index over them: made once for a pass, then kept up with every placement.

It answers where the next replica goes in time that hardly depends on how many cards there are. placement.py asks the
same questions of one node after the other, and is what explains a refusal; both stand on room.py.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.slice import SliceSize
from aicp.scheduler.card_index import CardSpot, Entry, Kind, NodeSpot, Sized
from aicp.scheduler.placement import Placement, bind_slices, bind_whole, dislike
from aicp.scheduler.resources import CPU, Commitment, Device, Order, Requirement, Snapshot
from aicp.scheduler.room import DeviceRoom, NodeRoom
from aicp.scheduler.topology import nearest

_LOOK_AT = 48
"""Fitting places that are compared before the best of them is taken."""
_HOLDERS = 16
"""Nodes with the model's files that are tried before all others."""

Chosen = tuple[NodeSpot, Kind | None, Sequence[tuple[DeviceRoom, SliceSize]]]
"""A node, the kind of whole cards to take there where it is known, and slices of its cards."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is worked out once for all equal requirements."""

    kinds: tuple[tuple[Kind, tuple[Sized, ...]], ...]
    allowed: frozenset[int] | None
    """Nodes with the right labels; None where all are."""
    holders: tuple[int, ...]
    """Nodes with the model's files."""


class Board:
    """A card map of everything, for planning: changes as placements are made and undone."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.nodes: list[NodeSpot] = []
        self._cards: list[CardSpot] = []
        self._by_id: dict[str, NodeSpot] = {}
        self._hosts: dict[str, list[Entry]] = {}
        self._kinds: dict[tuple[str, str], dict[tuple[str, str | None], list[Kind]]] = {}
        self._tainted = any(node.taints for node in snapshot.nodes)
        self._searches: dict[Requirement, Search] = {}
        for node, commitments in sorted(snapshot.by_node(), key=lambda pair: (pair[0].name, pair[0].id)):
            self._enter(NodeRoom(node, commitments, snapshot.policy(node.pool)))

    def _enter(self, room: NodeRoom) -> None:
        pool = room.node.pool
        host = self._hosts.setdefault(pool, [])
        # A closed node is known, so that what is on it can be taken away, but nothing finds it.
        spot = NodeSpot(room, len(self.nodes), host if room.node.unschedulable is None else [])
        self.nodes.append(spot)
        self._by_id[room.node.id] = spot
        cards: list[CardSpot] = []
        for item in room.devices:
            kind = self._kind(pool, item.device) if room.node.unschedulable is None else Kind(item.device)
            cards.append(CardSpot(item, kind, spot, len(self._cards) + len(cards)))
        self._cards.extend(cards)
        spot.take(cards)

    def _kind(self, pool: str, device: Device) -> Kind:
        by_product = self._kinds.setdefault((pool, device.vendor), {})
        kinds = by_product.setdefault((device.product, device.reserved_for), [])
        found = next((kind for kind in kinds if kind.matches(device)), None)
        if found is None:
            found = Kind(device)
            kinds.append(found)
        return found

    def nearest(self, need: Requirement) -> list[NodeSpot]:
        """The nodes that come nearest to taking what is needed, one in each respect, to explain a refusal."""
        search = self.search(need)
        found = [self._cards[order].node for order in self._largest_parts(need, search)]
        for kind, _ in search.kinds:
            most = max((count for count, entries in kind.whole.items() if entries), default=None)
            if most is not None:
                found.append(self.nodes[kind.whole[most][-1][1]])
        host = self._hosts.get(need.pool)
        if host:
            found.append(self.nodes[host[-1][1]])
        else:
            found.extend([spot for spot in self.nodes if spot.node.pool == need.pool][:1])
        return list({spot.order: spot for spot in found}.values())

    def _largest_parts(self, need: Requirement, search: Search) -> Iterator[int]:
        for kind, sizes in search.kinds:
            for size, _ in sizes:
                levels = kind.cut.get(size.mechanism, [])
                tops = [
                    (min(level / size.compute_percent, entries[-1][0] / size.memory_bytes), entries[-1][1])
                    for level, entries in enumerate(levels)
                    if entries
                ]
                if tops:
                    yield max(tops)[1]

    def room(self, node_id: str) -> NodeRoom | None:
        """The card map of one node; None when there is no such node."""
        spot = self._by_id.get(node_id)
        return spot.room if spot else None

    def number(self, node_id: str) -> int:
        """A node's number on this board. Raises KeyError when there is no such node."""
        return self._by_id[node_id].order

    def add(self, service: str, allocation: Allocation) -> None:
        """Counts an allocation as given; one on a node that is gone changes nothing."""
        self._change(allocation, lambda room: room.add(service, allocation))

    def remove(self, service: str, allocation: Allocation) -> None:
        """Takes back what `add` counted."""
        self._change(allocation, lambda room: room.remove(service, allocation))

    def commit(self, commitment: Commitment) -> None:
        """The same as `add`, for a commitment."""
        self.add(commitment.service, commitment.allocation)

    def hold(self, node_id: str, share: DeviceShare) -> None:
        """Keeps a device from everybody until it is released."""
        self._change(_only(node_id, share), lambda room: room.share(share))

    def release(self, node_id: str, share: DeviceShare) -> None:
        """Undoes `hold`."""
        self._change(_only(node_id, share), lambda room: room.unshare(share))

    def _change(self, allocation: Allocation, change: Callable[[NodeRoom], None]) -> None:
        spot = self._by_id.get(allocation.node_id)
        if spot is None:
            return
        touched = spot.spots((share.vendor, share.device_id) for share in allocation.devices)
        spot.unfile()
        for card in touched:
            card.leave()
        change(spot.room)
        for card in touched:
            card.enter()
        spot.file()

    def place(
        self,
        need: Requirement,
        service: str = "",
        *,
        only: Collection[int] | None = None,
        avoid: Collection[int] = (),
        cut: bool = True,
    ) -> Placement | None:
        """The best place for one replica, or one member of a gang; None when there is none.

        `only` and `avoid` name nodes by their number; without `cut` a slice goes on cards that are cut already, or
        nowhere. The answer is not counted as given until it is added.
        """
        search = self.search(need)
        packs = self.snapshot.policy(need.pool).order == Order.PACK
        best: Chosen | None = None
        best_score: tuple[float, ...] = (float("inf"), float("inf"))
        looked_at = 0
        for chosen in self._places(need, search) if cut else self._parts(search, cut=False):
            spot = chosen[0]
            if not packs and not best_score[0] and spot.room.services.get(service, 0) > best_score[1]:
                looked_at += 1
                if looked_at >= _LOOK_AT:
                    break
                continue
            if spot.order in avoid or (only is not None and spot.order not in only) or not _fits(need, chosen):
                continue
            if search.allowed is not None and spot.order not in search.allowed:
                continue
            same, crowding, far, avoided = dislike(need, spot.room, service)
            score = (avoided, crowding, far) if packs else (avoided, same, crowding, far)
            if best is None or score < best_score:
                best, best_score = chosen, score
            looked_at += 1
            if not any(best_score) or looked_at >= _LOOK_AT:
                break
        return None if best is None else _bind(need, best)

    def search(self, need: Requirement) -> Search:
        """Where to look for what is needed, worked out once."""
        found = self._searches.get(need)
        if found is None:
            found = self._searches[need] = self._search(need)
        return found

    def empty_card(self, kind: Kind, memory_bytes: int, cpu_cores: float) -> tuple[NodeSpot, DeviceRoom] | None:
        """A free card of the kind on a node that has host memory and cores left; where the fewest are free."""
        looked_at = 0
        for count in sorted(kind.whole):
            for _, order in kind.whole[count]:
                spot = self.nodes[order]
                if spot.memory_free >= memory_bytes and spot.room.cores_left >= cpu_cores:
                    return spot, next(spot.free_cards(kind))
                looked_at += 1
                if looked_at >= _LOOK_AT:
                    return None
        return None

    def _search(self, need: Requirement) -> Search:
        kinds = [
            kind
            for (product, reserved_for), alike in self._kinds.get((need.pool, need.vendor), {}).items()
            if need.product in (None, product) and reserved_for in (None, need.project)
            for kind in alike
        ]
        kinds.sort(key=lambda kind: (not kind.device.reserved_for, kind.device.memory_bytes, kind.device.product))
        asked = need.slice
        allowed = None
        if need.selector or self._tainted:
            wanted = set(need.selector)
            allowed = frozenset(
                spot.order
                for spot in self.nodes
                if wanted <= set(spot.node.labels.items()) and all(map(need.tolerates, spot.node.taints))
            )
        holders: tuple[int, ...] = ()
        if need.model_digest is not None:
            holders = tuple(spot.order for spot in self.nodes if _holds(spot, need))
        sized = [(kind, tuple(kind.sizes(asked)) if asked is not None else ()) for kind in kinds]
        return Search(tuple(item for item in sized if item[1] or asked is None), allowed, holders)

    def _places(self, need: Requirement, search: Search) -> Iterator[Chosen]:
        """Places with enough free devices, the tightest first; host memory and cores are still to be looked at."""
        for order in search.holders[:_HOLDERS]:
            yield from _on_node(need, self.nodes[order])
        if need.slice is not None and need.devices > 1:
            seen: set[int] = set()
            for spot, _, _ in self._parts(search):
                if spot.order not in seen:
                    seen.add(spot.order)
                    yield from _on_node(need, spot)
        elif need.slice is not None:
            yield from self._parts(search)
        elif need.vendor == CPU or need.accelerators == 0:
            entries = self._hosts.get(need.pool, [])
            for _, order in entries[bisect_left(entries, (need.memory_bytes, -1)) :]:
                yield from _on_node(need, self.nodes[order])
        else:
            yield from self._whole(need, search)

    def _parts(self, search: Search, *, cut: bool = True) -> Iterator[Chosen]:
        """Single slices: cards that are cut already by how little they would have left, then cards to be cut; those
        that are reserved for the project before all others."""
        reserved = [item for item in search.kinds if item[0].device.reserved_for is not None]
        others = [item for item in search.kinds if item[0].device.reserved_for is None]
        for kinds in (reserved, others):
            yield from self._parts_of(kinds, cut=cut)

    def _parts_of(self, kinds: Sequence[tuple[Kind, tuple[Sized, ...]]], *, cut: bool) -> Iterator[Chosen]:
        heap: list[tuple[int, float, int, list[Entry], int, int, SliceSize]] = []
        for kind, sizes in kinds:
            for rank, (size, _) in enumerate(sizes):
                levels = kind.cut.get(size.mechanism)
                if levels is not None:
                    _tightest(heap, levels, rank, size, kind.device)
        heapq.heapify(heap)
        while heap:
            rank, _, number, entries, place, level, size = heap[0]
            card = self._cards[entries[place][1]]
            yield card.node, None, ((card.room, size),)
            if place + 1 < len(entries):
                left = _left(level, entries[place + 1][0], size, card.kind.device)
                heapq.heapreplace(heap, (rank, left, number, entries, place + 1, level, size))
            else:
                heapq.heappop(heap)
        for kind, sizes in kinds if cut else ():
            yield from self._uncut(kind, sizes)

    def _uncut(self, kind: Kind, sizes: Sequence[Sized]) -> Iterator[Chosen]:
        for order in kind.strained:
            card = self._cards[order]
            size = _first_fitting(card.room, sizes, card.node.memory_free)
            if size is not None:
                yield card.node, None, ((card.room, size),)
        # Nodes with few free cards first, so that those where all are free stay so.
        for count in sorted(kind.whole):
            for _, order in kind.whole[count]:
                spot = self.nodes[order]
                room = next(spot.free_cards(kind))
                size = _first_fitting(room, sizes, spot.memory_free)
                if size is not None:
                    yield spot, None, ((room, size),)

    def _whole(self, need: Requirement, search: Search) -> Iterator[Chosen]:
        large = [kind for kind, _ in search.kinds if kind.device.memory_bytes >= need.accelerator_memory_bytes]
        for kind in large:
            for count in sorted(kind.whole):
                if count < need.accelerators:
                    continue
                for _, order in kind.whole[count]:
                    yield self.nodes[order], kind, ()
        if len(large) > 1 and need.accelerators > 1:
            # cards of one product are several kinds where they can be cut in different ways
            unlike = self.snapshot.policy(need.pool).unlike
            alike = Counter((kind.device.memory_bytes, kind.device.product) for kind in large)
            mixed = {
                order
                for kind in large
                if unlike or alike[kind.device.memory_bytes, kind.device.product] > 1
                for entries in kind.whole.values()
                for _, order in entries
            }
            for order in sorted(mixed):
                yield from _on_node(need, self.nodes[order])


def _only(node_id: str, share: DeviceShare) -> Allocation:
    return Allocation(node_id=node_id, devices=[share], cpu_cores=0, memory_bytes=0)


def _holds(spot: NodeSpot, need: Requirement) -> bool:
    node = spot.node
    return need.model_digest in node.model_digests and node.pool == need.pool and node.unschedulable is None


def _tightest(
    heap: list[tuple[int, float, int, list[Entry], int, int, SliceSize]],
    levels: list[list[Entry]],
    rank: int,
    size: SliceSize,
    device: Device,
) -> None:
    """Of every list the card with the least free memory that is enough."""
    memory = 0 if device.vendor == CPU else size.memory_bytes
    for level in range(size.compute_percent, 101):
        entries = levels[level]
        if entries and (place := bisect_left(entries, (memory, -1))) < len(entries):
            left = _left(level, entries[place][0], size, device)
            heap.append((rank, left, len(heap), entries, place, level, size))


def _left(level: int, free: int, size: SliceSize, device: Device) -> float:
    """How much would be left of a card, compute and memory as shares of the whole."""
    memory = 0 if device.vendor == CPU else size.memory_bytes
    return (level - size.compute_percent) / 100 + (free - memory) / device.memory_bytes


def _first_fitting(room: DeviceRoom, sizes: Sequence[Sized], host_free: int) -> SliceSize | None:
    """The best slice that a card which is not cut yet can give."""
    device = room.device
    for size, most in sizes:
        if size.memory_bytes <= (host_free if device.vendor == CPU else most - device.foreign_bytes):
            return size
    return None


def _on_node(need: Requirement, spot: NodeSpot) -> Iterator[Chosen]:
    """The choice on one given node, if it has enough."""
    room = spot.room
    if need.slice is not None:
        parts = room.parts(need)
        if len(parts) >= need.devices:
            yield spot, None, parts[: need.devices]
    elif need.vendor == CPU:
        yield spot, None, ()
    elif need.accelerators == 0:
        if room.usable(need):
            yield spot, None, ()
    elif room.choose_whole(need):
        yield spot, None, ()


def _linked(need: Requirement, spot: NodeSpot, kind: Kind) -> Sequence[DeviceRoom]:
    free = {room.device.device_id: room for room in spot.free_cards(kind)}
    return [free[device_id] for device_id in nearest(list(free), need.accelerators, spot.node.links)]


def _fits(need: Requirement, chosen: Chosen) -> bool:
    """Whether host memory and cores are enough."""
    spot, _, parts = chosen
    if need.vendor == CPU and parts:
        return spot.memory_free >= sum(size.memory_bytes for _, size in parts)
    cores = need.cpu_cores
    return spot.memory_free >= need.memory_bytes and spot.node.cpu_cores >= cores and spot.room.cores_left >= cores


def _bind(need: Requirement, chosen: Chosen) -> Placement:
    spot, kind, parts = chosen
    if need.slice is not None:
        return Placement(spot.node.name, bind_slices(need, spot.node, parts))
    if need.vendor == CPU:
        return Placement(spot.node.name, bind_whole(need, spot.node, ()))
    whole = spot.room.choose_whole(need) if kind is None else _linked(need, spot, kind)
    return Placement(spot.node.name, bind_whole(need, spot.node, whole))
