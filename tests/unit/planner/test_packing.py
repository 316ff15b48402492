"""Packing: nothing overflows, nothing is lost, and the bounds hold."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicp.planner.packing import Capacity, Item, _best_fit, _orders, least_bins, pack

BIN = Capacity(10, 10)


def items(*sizes: tuple[int, int], apart: str | None = None) -> list[Item]:
    return [Item(key, compute, memory, apart) for key, (compute, memory) in enumerate(sizes)]


def fewest(given: list[Item], capacity: Capacity) -> int:
    """By trying every assignment: the truth for a handful of items."""
    best = len(given)
    for places in product(range(len(given)), repeat=len(given)):
        used = sorted(set(places))
        if len(used) >= best:
            continue
        inside = [[item for item, place in zip(given, places, strict=True) if place == number] for number in used]
        if all(_holds(group, capacity) for group in inside):
            best = len(used)
    return best


def _holds(group: list[Item], capacity: Capacity) -> bool:
    apart = [item.apart for item in group if item.apart]
    return (
        sum(item.compute for item in group) <= capacity.compute
        and sum(item.memory for item in group) <= capacity.memory
        and len(apart) == len(set(apart))
        and (capacity.items is None or len(group) <= capacity.items)
    )


sizes = st.tuples(st.integers(1, 10), st.integers(1, 10))
few = st.lists(st.tuples(sizes, st.sampled_from([None, None, "a", "b"])), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(few, st.sampled_from([None, 1, 2, 3]))
def test_few_items_are_packed_as_well_as_can_be(drawn: list[tuple[tuple[int, int], str | None]], most: int | None):
    given = [Item(key, *size, apart) for key, (size, apart) in enumerate(drawn)]
    capacity = Capacity(10, 10, most)
    packing = pack(given, capacity)
    assert packing.exact
    assert len(packing.bins) == packing.least == fewest(given, capacity)


@settings(max_examples=60, deadline=None)
@given(st.lists(sizes, min_size=1, max_size=60), st.sampled_from([None, 4]))
def test_many_items_never_overflow_and_none_is_lost(drawn: list[tuple[int, int]], most: int | None):
    given, capacity = items(*drawn), Capacity(10, 10, most)
    packing = pack(given, capacity)
    assert sorted(item.key for one in packing.bins for item in one) == [item.key for item in given]
    assert all(_holds(list(one), capacity) for one in packing.bins)
    assert least_bins(given, capacity) <= packing.least <= len(packing.bins)
    assert pack(given, capacity) == packing, "the same question has the same answer"


def test_the_search_beats_best_fit():
    sizes = [(2, 5), (4, 2), (1, 4), (5, 5), (4, 1), (6, 3), (3, 2), (4, 6)]
    assert min(len(_best_fit(items(*sizes), BIN, order)) for order in _orders(BIN)) == 4
    packing = pack(items(*sizes), BIN)
    assert (len(packing.bins), packing.exact) == (3, True)


def test_what_is_to_lie_apart_does():
    assert len(pack(items((1, 1), (1, 1), (1, 1), apart="one"), BIN).bins) == 3


def test_no_items_need_no_bins():
    assert pack([], BIN).bins == ()


def test_an_item_larger_than_a_bin_is_refused():
    with pytest.raises(ValueError, match="larger than a bin"):
        pack(items((11, 1)), BIN)
