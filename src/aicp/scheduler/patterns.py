"""How slices are combined so that few accelerators are cut: patterns, found for one card and used on many equal ones.

Packing in two dimensions is hard, and first fit by size alone wastes a tenth of the cards and more where few different
sizes wait. A pattern is worth a search because it is repeated: with services of many replicas the same combination is
used until one of its parts runs out. The search is a small beam search which prefers parts that point where there is
room (the dot product heuristic of Panigrahy et al., "Heuristics for Vector Bin Packing", 2011); every pattern holds
the largest part that waits, so that what is hard to place does not stay for the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_BEAM = 6
_BRANCHES = 4
_AT_ONCE = 48
"""Different parts that one search looks at; of more, the largest and a sample over the rest."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Equal empty cards, cut in one way. `parts` says how large every part is on them, None where it does not go;
    `at_most` is how many slices a card may carry. Bins of the same `stock` are the same cards, cut differently."""

    stock: int
    compute: int
    memory: int
    parts: tuple[tuple[int, int] | None, ...]
    at_most: int | None = None


Pattern = tuple[tuple[int, int], ...]
"""(number of the part, how often)."""
_State = tuple[int, int, Pattern]


@dataclass(frozen=True, slots=True)
class Use:
    """A pattern and on how many cards it is cut."""

    bin: int
    pattern: Pattern
    times: int


def plan(bins: Sequence[Bin], stocks: Sequence[int], left: Sequence[int]) -> list[Use]:
    """How to cut the cards in `stocks` into the parts that are `left` so many times; what finds no card stays out.

    Tried with several orders of the parts, weights of the resources, and shares of the cards that get a pattern
    before the next is looked for; the best plan is taken: the one
    that leaves the least out, then the one that cuts the fewest cards.
    """
    tries = _TRIES[: max(1, min(len(_TRIES), _EFFORT // max(1, len(left)) ** 2))]
    plans = [_plan(bins, stocks, left, *item) for item in tries]
    return min(plans, key=lambda item: item[0])[1]


def _plan(
    bins: Sequence[Bin], stocks: Sequence[int], left: Sequence[int], order: str, power: float, repeat: float
) -> tuple[tuple[float, int], list[Use]]:
    stock, rest = list(stocks), list(left)
    shares = [_share(bins, number) for number in range(len(left))]
    queue = sorted(range(len(left)), key=lambda number: (-_ORDERS[order](*shares[number]), number))
    uses: list[Use] = []
    demand = [sum(share[place] * count for share, count in zip(shares, rest, strict=True)) for place in (0, 1)]
    out = 0.0
    for seed in queue:
        while rest[seed]:
            weights = _weights(demand, power)
            found = [
                (*find_pattern(item, rest, weights, seed), number)
                for number, item in enumerate(bins)
                if stock[item.stock] and item.parts[seed] is not None
            ]
            if not found:
                out += rest[seed] * sum(shares[seed])
                break
            _, pattern, number = min(found, key=lambda item: (item[0], item[2]))
            times = min(stock[bins[number].stock], *(rest[part] // count for part, count in pattern))
            times = max(1, int(times * repeat))
            uses.append(Use(number, pattern, times))
            stock[bins[number].stock] -= times
            for part, count in pattern:
                rest[part] -= times * count
                for place in (0, 1):
                    demand[place] -= times * count * shares[part][place]
    return (round(out, 6), sum(use.times for use in uses)), uses


def _share(bins: Sequence[Bin], number: int) -> tuple[float, float]:
    """How large a part is, by the first cards that it goes on."""
    for item in bins:
        size = item.parts[number]
        if size is not None:
            return size[0] / item.compute, size[1] / item.memory
    return 0.0, 0.0


def _weights(demand: Sequence[float], power: float) -> tuple[float, float]:
    most = max(*demand, 1e-9)
    first, second = ((max(0.0, one) / most) ** power + 1e-6 for one in demand)
    return first / (first + second), second / (first + second)


_ORDERS: dict[str, Callable[[float, float], float]] = {
    "sum": lambda compute, memory: compute + memory,
    "largest": max,
    "product": lambda compute, memory: compute * memory,
}
_TRIES = tuple(
    (order, power, repeat) for repeat in (1.0, 0.67, 0.4, 0.2) for power in (6.0, 1.0, 2.0, 0.5) for order in _ORDERS
)
_EFFORT = 24000
"""Tries times the square of the different parts, so that hundreds of these still take a fraction of a second."""


def find_pattern(bin_: Bin, left: Sequence[int], weights: tuple[float, float], seed: int) -> tuple[float, Pattern]:
    """The waste of the best pattern with the part `seed` that was found, between 0 and 1, and the pattern.

    `weights` say how much a resource matters: as much as there is demand for it.
    """
    first = bin_.parts[seed]
    assert first is not None
    by_compute, by_memory = weights[0] / bin_.compute, weights[1] / bin_.memory
    choice = _considered(bin_, left, seed)
    states: list[_State] = [(bin_.compute - first[0], bin_.memory - first[1], ((seed, 1),))]
    best = (float("inf"), states[0][2])
    while states:
        grown: dict[tuple[int, int], Pattern] = {}
        for compute, memory, pattern in states:
            full = bin_.at_most is not None and sum(count for _, count in pattern) >= bin_.at_most
            further = [] if full else _further(choice, compute, memory, pattern, left, by_compute, by_memory)
            if not further:
                waste = compute * by_compute + memory * by_memory
                best = min(best, (waste, pattern))
            for number, size in further:
                grown.setdefault((compute - size[0], memory - size[1]), _with(pattern, number))
        ranked = sorted(grown.items(), key=lambda item: item[0][0] * by_compute + item[0][1] * by_memory)
        spread = ranked if len(ranked) <= _BEAM else ranked[:: max(1, len(ranked) // _BEAM)][:_BEAM]
        states = [(compute, memory, pattern) for (compute, memory), pattern in spread]
    return best


def _considered(bin_: Bin, left: Sequence[int], seed: int) -> list[tuple[int, tuple[int, int]]]:
    found = [(number, size) for number, size in enumerate(bin_.parts) if size is not None and left[number]]
    if len(found) <= _AT_ONCE:
        return found
    step = len(found) / _AT_ONCE
    return [found[int(place * step)] for place in range(_AT_ONCE)]


def _further(
    choice: Sequence[tuple[int, tuple[int, int]]],
    compute: int,
    memory: int,
    pattern: Pattern,
    left: Sequence[int],
    by_compute: float,
    by_memory: float,
) -> list[tuple[int, tuple[int, int]]]:
    """The parts that fit, those that point where there is room first."""
    towards = (compute * by_compute * by_compute, memory * by_memory * by_memory)
    used = dict(pattern)
    fitting = [
        (size[0] * towards[0] + size[1] * towards[1], number, size)
        for number, size in choice
        if size[0] <= compute and size[1] <= memory and used.get(number, 0) < left[number]
    ]
    fitting.sort(reverse=True)
    return [(number, size) for _, number, size in fitting[:_BRANCHES]]


def _with(pattern: Pattern, number: int) -> Pattern:
    counts = dict(pattern)
    counts[number] = counts.get(number, 0) + 1
    return tuple(sorted(counts.items()))
