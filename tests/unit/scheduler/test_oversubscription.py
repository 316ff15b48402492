"""Memory that a pool promises more than once: only where its policy says so and what holds the slices allows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicp.core.quantity import GIB
from aicp.core.slice import SliceProfile, SliceRequest, Slicing
from aicp.scheduler.board import Board
from aicp.scheduler.placement import Commitment, Device, NodeCapacity, Placement, Refusal, Requirement, Snapshot, place
from aicp.scheduler.room import SLICE_RESERVE_BYTES

SOFT = Slicing(mechanism="interposer", oversubscribable=True)
SHARED = Slicing(mechanism="mps")
HARD = Slicing(mechanism="mig", profiles=[SliceProfile(name="1g", compute_percent=14, memory_bytes=20 * GIB)])


def world(factor: float, way: Slicing = SOFT) -> Snapshot:
    card = Device("nvidia", "g0", 0, "L20", 48 * GIB, slicing=(way,), memory_factor=factor)
    return Snapshot((NodeCapacity("n0", "node-0", "default", 64, 512 * GIB, (card,)),))


def part(memory_gib: int, percent: int = 10) -> Requirement:
    asked = SliceRequest(compute_percent=percent, memory_bytes=memory_gib * GIB)
    return Requirement("default", "nvidia", 1, 0, 1, GIB, asked)


def fill(snapshot: Snapshot, need: Requirement) -> int:
    count = 0
    while isinstance(found := place(need, snapshot), Placement):
        snapshot = snapshot.plus(Commitment(f"r{count}", "s", found.allocation))
        count += 1
    return count


@pytest.mark.parametrize(
    ("factor", "way", "count"),
    [(1.0, SOFT, 2), (1.5, SOFT, 3), (2.0, SOFT, 4), (2.0, SHARED, 2), (2.0, HARD, 2)],
    ids=["usual", "half more", "twice", "shared without", "hardware"],
)
def test_as_much_is_promised_as_the_policy_says_where_it_can_be(factor: float, way: Slicing, count: int):
    assert fill(world(factor, way), part(20)) == count


def test_one_slice_never_gets_more_than_there_is_and_says_what_the_pool_promises():
    assert isinstance(place(part(50), world(2.0)), Refusal)
    found = place(part(40), world(1.5))
    assert isinstance(found, Placement)
    assert found.allocation.devices[0].rounding == "the pool promises memory up to 1.5 times"
    usual = place(part(40), world(1.0))
    assert isinstance(usual, Placement)
    assert usual.allocation.devices[0].rounding is None


def test_a_lower_factor_takes_nothing_away_and_gives_nothing_more():
    snapshot = world(2.0)
    for number in range(3):
        found = place(part(20), snapshot)
        assert isinstance(found, Placement)
        snapshot = snapshot.plus(Commitment(f"r{number}", "s", found.allocation))
    lowered = replace(snapshot, nodes=world(1.0).nodes)
    assert isinstance(place(part(1), lowered), Refusal)
    assert Board(lowered).place(part(1), "s") is None


@settings(max_examples=80, deadline=None)
@given(
    factor=st.sampled_from([1.0, 1.25, 1.5, 2.0]),
    sizes=st.lists(st.tuples(st.integers(1, 47), st.integers(1, 30)), max_size=12),
)
def test_both_ways_of_asking_agree_and_keep_to_the_factor(factor: float, sizes: list[tuple[int, int]]):
    snapshot = world(factor)
    board = Board(snapshot)
    for number, (memory, percent) in enumerate(sizes):
        need = part(memory, percent)
        one, other = place(need, snapshot), board.place(need, "s")
        assert isinstance(one, Placement) == (other is not None)
        if other is not None:
            snapshot = snapshot.plus(Commitment(f"r{number}", "s", other.allocation))
            board.add("s", other.allocation)
    shares = [share for item in snapshot.commitments for share in item.allocation.devices]
    assert sum(share.memory_bytes for share in shares) <= (48 * GIB - SLICE_RESERVE_BYTES) * factor
    assert sum(share.compute_percent for share in shares) <= 100
