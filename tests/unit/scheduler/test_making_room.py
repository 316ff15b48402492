"""Preemption, defragmentation, reservations and purposes of pools."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aicp.core.quantity import GIB
from aicp.core.slice import SliceRequest, Slicing
from aicp.scheduler.defragmentation import defragment
from aicp.scheduler.placement import Commitment, Device, NodeCapacity, Placement, Refusal, Requirement, Snapshot, place
from aicp.scheduler.preemption import Eviction, make_room
from aicp.scheduler.purpose import PoolPurpose, Purpose, Window, open_for
from aicp.scheduler.reservations import Reservation, with_reservations

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)  # a Monday


def snapshot(nodes: int = 1, cards: int = 4) -> Snapshot:
    way = Slicing(mechanism="mps")
    devices = tuple(Device("nvidia", f"g{i}", i, "L20", 48 * GIB, slicing=(way,)) for i in range(cards))
    return Snapshot(tuple(NodeCapacity(f"n{i}", f"n{i}", "default", 64, 512 * GIB, devices) for i in range(nodes)))


def cards(count: int, project: str = "", priority: int = 0, **more: object) -> Requirement:
    return Requirement("default", "nvidia", count, GIB, 1, GIB, project=project, priority=priority, **more)


def part(percent: int, memory: int = 1, **more: object) -> Requirement:
    asked = SliceRequest(compute_percent=percent, memory_bytes=memory * GIB)
    return Requirement("default", "nvidia", 1, 0, 1, GIB, asked, **more)


def run(world: Snapshot, replica: str, need: Requirement, service: str = "") -> Snapshot:
    answer = place(need, world, service or replica)
    assert isinstance(answer, Placement)
    return world.plus(Commitment(replica, service or replica, answer.allocation, need.project, need.priority))


def test_preemption_takes_the_fewest_of_the_least_important():
    world = run(snapshot(2, 2), "high", cards(1, priority=5))
    world = run(world, "low-1", cards(1, priority=1))
    world = run(world, "low-2", cards(1, priority=0))
    world = run(world, "low-3", cards(1, priority=1))
    answer = make_room(cards(1, priority=3), world)
    assert isinstance(answer, Eviction)
    assert answer.victims == ("low-2",)
    whole_node = make_room(cards(2, priority=3), world)
    assert isinstance(whole_node, Eviction)
    assert "high" not in whole_node.victims
    assert len(whole_node.victims) == 2
    assert isinstance(make_room(cards(2, priority=3), world.without(lambda item: item.replica_id == "low-1")), Eviction)


def test_nobody_goes_where_there_is_room_or_where_it_would_not_help():
    world = run(snapshot(), "low", cards(3))
    free = make_room(cards(1, priority=9), world)
    assert isinstance(free, Eviction)
    assert free.victims == ()
    assert isinstance(make_room(cards(9, priority=9), world), Refusal)
    assert isinstance(make_room(cards(2, priority=0), world), Refusal)


def test_a_victim_that_is_a_gang_goes_as_a_whole_and_a_gang_may_preempt():
    world = snapshot(2, 2)
    for node in ("n0", "n1"):
        answer = place(cards(2), Snapshot(tuple(item for item in world.nodes if item.name == node)))
        assert isinstance(answer, Placement)
        world = world.plus(Commitment("gang", "x", answer.allocation))
    eviction = make_room(cards(2, priority=1, nodes=2), world)
    assert isinstance(eviction, Eviction)
    assert eviction.victims == ("gang",)
    assert {member.node for member in eviction.placements} == {"n0", "n1"}
    after = world.without(lambda item: item.replica_id in eviction.victims)
    assert not after.commitments


def scattered() -> Snapshot:
    """Slices left over on each of four cards."""
    world = snapshot()
    for number in range(4):
        world = run(world, f"filler-{number}", part(70))
        world = run(world, f"r{number}", part(25))
    return world.without(lambda item: item.replica_id.startswith("filler"))


def test_defragmentation_frees_whole_cards_and_cuts_none():
    world = scattered()
    proposal = defragment(world, "default")
    assert len(proposal.freed) == 3
    assert len(proposal.moves) == 3
    moved = {move.replica_id for move in proposal.moves}
    after = world.without(lambda item: item.replica_id in moved)
    after = after.plus(*(Commitment(move.replica_id, move.service, move.to.allocation) for move in proposal.moves))
    assert len(after.devices_free(after.nodes[0], "nvidia")) == 3
    assert isinstance(place(cards(3), after), Placement)


def test_defragmentation_keeps_to_its_limit_and_leaves_alone_what_it_cannot_empty():
    assert len(defragment(scattered(), "default", at_most=1).moves) == 1
    full = snapshot(1, 2)
    for number in range(2):
        full = run(full, f"r{number}", part(60))
    assert defragment(full, "default").moves == ()


def test_a_reservation_keeps_others_away_while_it_lasts():
    item = Reservation("a", "n0", NOW, NOW + timedelta(hours=1), frozenset({"g0", "g1", "g2"}))
    world = with_reservations(snapshot(), [item], NOW)
    assert isinstance(place(cards(2, "a"), world), Placement)
    refusal = place(cards(2, "b"), world)
    assert isinstance(refusal, Refusal)
    assert isinstance(place(cards(4, "a"), world), Placement)
    own = place(cards(1, "a"), world)
    assert isinstance(own, Placement)
    assert own.allocation.devices[0].device_id == "g0"
    assert isinstance(place(cards(2, "b"), with_reservations(snapshot(), [item], NOW + timedelta(hours=1))), Placement)
    every = with_reservations(snapshot(), [replace(item, device_ids=frozenset())], NOW)
    refusal = place(part(10, project="b"), every)
    assert isinstance(refusal, Refusal)
    assert "its accelerators are reserved for a" in refusal.sentence


NIGHTS = Window(Purpose.TRAINING, frozenset(range(5)), 20 * 60, 6 * 60)


@pytest.mark.parametrize(
    ("hours", "purpose"),
    [
        (0, Purpose.INFERENCE),
        (8, Purpose.TRAINING),
        (17.9, Purpose.TRAINING),
        (18, Purpose.INFERENCE),
        (-9, Purpose.INFERENCE),
    ],
    ids=["noon", "evening", "before six", "six", "the night that began on Sunday"],
)
def test_a_window_changes_what_a_pool_is_for(hours: float, purpose: Purpose):
    assert PoolPurpose(Purpose.INFERENCE, (NIGHTS,)).at(NOW + timedelta(hours=hours)) == purpose


def test_a_pool_that_is_for_something_else_now_is_closed_in_words():
    purposes = [("default", PoolPurpose(Purpose.INFERENCE, (NIGHTS,)))]
    assert isinstance(place(cards(1), open_for(snapshot(), Purpose.INFERENCE, purposes, NOW)), Placement)
    refusal = place(cards(1), open_for(snapshot(), Purpose.TRAINING, purposes, NOW))
    assert isinstance(refusal, Refusal)
    assert "its pool is for inference now" in refusal.sentence
    both = [("default", PoolPurpose())]
    assert isinstance(place(cards(1), open_for(snapshot(), Purpose.TRAINING, both, NOW)), Placement)
