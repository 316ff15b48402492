"""Items of two sizes, compute and memory, into as few equal bins as may be.

Best fit decreasing in several orders, and for few items a search that proves its answer. The bounds are the sums of
each size over a bin's, the items that are larger than half a bin in either, and items that must lie apart
(Panigrahy, Talwar, Uyeda, Wieder: Heuristics for Vector Bin Packing, 2011; Martello and Toth: Knapsack Problems, 1990).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

_SEARCH_ITEMS = 16
"""Up to so many items a better packing is searched for; each more multiplies the work."""
_SEARCH_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class Item:
    """`compute` and `memory` in the units of the bin. Items of one `apart` group never lie in one bin."""

    key: int
    compute: int
    memory: int
    apart: str | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """One bin: its two sizes, and how many items it may hold."""

    compute: int
    memory: int
    items: int | None = None


@dataclass(slots=True)
class Bin:
    """A bin being filled."""

    compute: int
    memory: int
    places: int
    items: list[Item] = field(default_factory=list[Item])

    def takes(self, item: Item) -> bool:
        """Whether it fits beside what lies here."""
        if item.compute > self.compute or item.memory > self.memory or not self.places:
            return False
        return item.apart is None or all(other.apart != item.apart for other in self.items)

    def put(self, item: Item) -> None:
        """Adds it."""
        self._move(item, 1)
        self.items.append(item)

    def take_back(self, item: Item) -> None:
        """Removes the item that was put last."""
        self._move(item, -1)
        self.items.pop()

    def _move(self, item: Item, sign: int) -> None:
        self.compute -= sign * item.compute
        self.memory -= sign * item.memory
        self.places -= sign


@dataclass(frozen=True, slots=True)
class Packing:
    """Bins of items. `least` is a number that no packing can go below; `exact` says that this one is proven best."""

    bins: tuple[tuple[Item, ...], ...]
    least: int
    exact: bool


def pack(items: Sequence[Item], capacity: Capacity) -> Packing:
    """The fewest bins found. Every item must fit into an empty bin; raises ValueError for one that does not."""
    large = [item.key for item in items if item.compute > capacity.compute or item.memory > capacity.memory]
    if large:
        raise ValueError(f"items {large} are larger than a bin")
    least = least_bins(items, capacity)
    best = min((_best_fit(items, capacity, order) for order in _orders(capacity)), key=len)
    exact = len(best) <= least
    if not exact and len(items) <= _SEARCH_ITEMS:
        search = _Search(items, capacity, least)
        best, exact = search.improve(best)
    return Packing(tuple(tuple(one.items) for one in best), len(best) if exact else least, exact)


def least_bins(items: Sequence[Item], capacity: Capacity) -> int:
    """A number of bins that no packing can go below."""
    if not items:
        return 0
    bounds = [
        _up(sum(item.compute for item in items), capacity.compute),
        _up(sum(item.memory for item in items), capacity.memory),
        sum(2 * item.compute > capacity.compute for item in items),
        sum(2 * item.memory > capacity.memory for item in items),
        max(Counter(item.apart for item in items if item.apart is not None).values(), default=0),
        1,
    ]
    if capacity.items is not None:
        bounds.append(_up(len(items), capacity.items))
    return max(bounds)


_Order = Callable[[Item], float]


def _orders(capacity: Capacity) -> list[_Order]:
    """What is put first: the largest by one size, by the sum, by the larger, by the product of both."""

    def shares(item: Item) -> tuple[float, float]:
        return item.compute / capacity.compute, item.memory / capacity.memory

    return [
        lambda item: -max(shares(item)),
        lambda item: -sum(shares(item)),
        lambda item: -shares(item)[0],
        lambda item: -shares(item)[1],
        lambda item: -shares(item)[0] * shares(item)[1],
    ]


def _best_fit(items: Iterable[Item], capacity: Capacity, order: _Order) -> list[Bin]:
    """Each item to the bin that it leaves fullest; ties by key, so that the same question has the same answer."""
    bins: list[Bin] = []
    for item in sorted(items, key=lambda item: (order(item), item.key)):
        open_bins = [one for one in bins if one.takes(item)]
        if open_bins:
            chosen = min(open_bins, key=lambda one: one.compute / capacity.compute + one.memory / capacity.memory)
        else:
            chosen = _empty(capacity)
            bins.append(chosen)
        chosen.put(item)
    return bins


class _Search:
    """Depth first over the largest items, cut where the bins are already as many as the best packing has."""

    def __init__(self, items: Sequence[Item], capacity: Capacity, least: int) -> None:
        self._items = sorted(items, key=lambda item: (_orders(capacity)[0](item), item.key))
        self._capacity = capacity
        self._least = least
        self._best: list[Bin] = []
        self._bins: list[Bin] = []
        self._steps = 0

    def improve(self, best: list[Bin]) -> tuple[list[Bin], bool]:
        """A packing as good as `best` or better, and whether it is proven to be the best there is."""
        self._best = best
        finished = self._place(0)
        return self._best, finished or len(self._best) <= self._least

    def _place(self, index: int) -> bool:
        """Tries every bin for the item; False when the steps ran out or nothing better can come."""
        self._steps += 1
        if self._steps > _SEARCH_STEPS or len(self._best) <= self._least:
            return False
        if index == len(self._items):
            self._best = [_copy(one) for one in self._bins]
            return True
        item = self._items[index]
        seen: set[tuple[int, int, int, tuple[str, ...]]] = set()
        for one in self._bins:
            # bins with the same room are the same bin
            room = (one.compute, one.memory, one.places, tuple(sorted(str(other.apart) for other in one.items)))
            if room in seen or not one.takes(item):
                continue
            seen.add(room)
            one.put(item)
            ended = self._place(index + 1)
            one.take_back(item)
            if not ended and self._is_over():
                return False
        if len(self._bins) + 1 < len(self._best):
            self._bins.append(_empty(self._capacity))
            self._bins[-1].put(item)
            ended = self._place(index + 1)
            self._bins.pop()
            if not ended and self._is_over():
                return False
        return True

    def _is_over(self) -> bool:
        return self._steps > _SEARCH_STEPS or len(self._best) <= self._least


def _empty(capacity: Capacity) -> Bin:
    return Bin(capacity.compute, capacity.memory, capacity.items if capacity.items is not None else 1 << 30)


def _copy(one: Bin) -> Bin:
    return Bin(one.compute, one.memory, one.places, list(one.items))


def _up(value: int, unit: int) -> int:
    return -(-value // unit)
