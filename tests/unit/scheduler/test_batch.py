"""Many replicas in one pass: nothing given twice, gangs whole, the same answer every time, a reason for each."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SlicePolicy, SliceProfile, SliceRequest, Slicing
from aicp.scheduler.batch import Outcome, place_all
from aicp.scheduler.board import Board
from aicp.scheduler.gang import place_gang
from aicp.scheduler.pending import Pending
from aicp.scheduler.placement import (
    CPU,
    Commitment,
    Device,
    NodeCapacity,
    Order,
    Placement,
    PoolPolicy,
    Refusal,
    Requirement,
    Snapshot,
    place,
)
from aicp.scheduler.refusal import refuse
from aicp.scheduler.room import NodeRoom

MPS = Slicing(mechanism="mps", memory_unit_bytes=MIB, policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT], at_most=6)
MIG = Slicing(
    mechanism="mig", profiles=[SliceProfile(name="half", compute_percent=50, memory_bytes=10 * GIB)], isolated=True
)
CGROUP = Slicing(mechanism="cgroup")


@st.composite
def nodes(draw: st.DrawFn) -> tuple[NodeCapacity, ...]:
    found: list[NodeCapacity] = []
    for number in range(draw(st.integers(1, 4))):
        name = f"n{number}"
        cards = tuple(
            Device(
                "nvidia",
                f"{name}-{index}",
                index,
                draw(st.sampled_from(["L20", "H20"])),
                draw(st.sampled_from([24, 48])) * GIB,
                foreign_bytes=draw(st.sampled_from([0, 0, 6 * GIB])),
                healthy=draw(st.sampled_from([True, True, False])),
                slicing=draw(st.sampled_from([(MPS,), (MIG, MPS), ()])),
                reserved_for=draw(st.sampled_from([None, None, "p1"])),
            )
            for index in range(draw(st.integers(0, 4)))
        )
        memory = draw(st.integers(4, 64)) * GIB
        host = Device(CPU, "cpu-0", 0, "cpu", memory, slicing=(CGROUP,), cores=8)
        labels = {"rack": draw(st.sampled_from(["r1", "r2"]))}
        taints = draw(st.sampled_from([(), (), ("night",)]))
        closed = draw(st.sampled_from([None, None, None, "it is cordoned"]))
        node = NodeCapacity(name, name, "default", 8, memory, (host, *cards), 0, closed, labels, taints)
        found.append(replace(node, model_digests=frozenset(draw(st.sampled_from([(), ("d1",)])))))
    return tuple(found)


@st.composite
def needs(draw: st.DrawFn) -> Requirement:
    vendor = draw(st.sampled_from([CPU, "nvidia", "nvidia", "nvidia"]))
    asked = None
    if draw(st.booleans()):
        asked = SliceRequest(
            compute_percent=draw(st.integers(1, 100)),
            memory_bytes=draw(st.integers(1, 100)) * 256 * MIB,
            policy=draw(st.sampled_from(SlicePolicy)),
        )
    count = draw(st.integers(1, 3)) if vendor != CPU else 0
    return Requirement(
        "default",
        vendor,
        count,
        draw(st.sampled_from([0, 20, 40])) * GIB if vendor != CPU else 0,
        draw(st.sampled_from([0.5, 2.0, 9.0])),
        draw(st.sampled_from([1, 4])) * GIB,
        asked,
        selector=draw(st.sampled_from([(), (), (("rack", "r1"),)])),
        tolerations=draw(st.sampled_from([(), ("night",)])),
        product=draw(st.sampled_from([None, None, "L20"])) if vendor != CPU else None,
        model_digest=draw(st.sampled_from([None, "d1"])),
        nodes=draw(st.sampled_from([1, 1, 1, 2])),
        project=draw(st.sampled_from(["", "p1"])),
        priority=draw(st.integers(0, 1)),
    )


policies = st.sampled_from([PoolPolicy(order, unlike, "rack") for order in Order for unlike in (True, False)])


@st.composite
def batches(draw: st.DrawFn) -> tuple[Snapshot, list[Pending]]:
    kinds = draw(st.lists(needs(), min_size=1, max_size=4))
    pending = [
        Pending(f"r{number}", f"s{kind}", kinds[kind % len(kinds)])
        for number, kind in enumerate(draw(st.lists(st.integers(0, 5), min_size=1, max_size=16)))
    ]
    return Snapshot(draw(nodes()), policies={"default": draw(policies)}), pending


def committed(outcome: Outcome, pending: list[Pending]) -> list[Commitment]:
    services = {item.id: item.service for item in pending}
    return [
        Commitment(replica, services[replica], member.allocation)
        for replica, members in outcome.placements.items()
        for member in members
    ]


def check_card_map(snapshot: Snapshot) -> None:
    """Recounts everything from the allocations alone, without the scheduler's own books."""
    for node in snapshot.nodes:
        held = snapshot.on(node.id)
        assert sum(item.allocation.memory_bytes for item in held) <= node.memory_bytes - node.foreign_bytes
        by_device = defaultdict(list)
        for item in held:
            ids = [(share.vendor, share.device_id) for share in item.allocation.devices]
            assert len(ids) == len(set(ids)), "two shares of one device in one allocation"
            for share in item.allocation.devices:
                by_device[share.vendor, share.device_id].append(share)
        for device in node.devices:
            shares = by_device[device.vendor, device.device_id]
            whole = [share for share in shares if share.mechanism is None and share.vendor != CPU]
            slices = [share for share in shares if share.mechanism is not None]
            assert not whole or len(shares) == 1
            assert sum(share.compute_percent for share in slices) <= 100
            assert len({share.mechanism for share in slices}) <= 1
            assert sum(share.memory_bytes for share in slices) <= device.memory_bytes - device.foreign_bytes
            assert device.healthy or not whole + slices
            assert all(len(slices) <= 6 for share in slices if share.mechanism == "mps")


@settings(max_examples=150, deadline=None)
@given(batches())
def test_nothing_is_given_twice_and_gangs_stay_whole(batch: tuple[Snapshot, list[Pending]]):
    snapshot, pending = batch
    outcome = place_all(pending, snapshot)
    check_card_map(snapshot.plus(*committed(outcome, pending)))
    assert {item.id for item in pending} == set(outcome.placements) | set(outcome.refusals)
    assert not set(outcome.placements) & set(outcome.refusals)
    by_name = {node.name: node for node in snapshot.nodes}
    for item in pending:
        members = outcome.placements.get(item.id)
        if members is None:
            assert outcome.refusals[item.id].sentence
            continue
        assert len({member.node for member in members}) == item.need.nodes
        for member in members:
            node = by_name[member.node]
            assert node.unschedulable is None
            assert set(node.taints) <= set(item.need.tolerations)
            assert set(item.need.selector) <= set(node.labels.items())


@settings(max_examples=60, deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_the_questions(
    batch: tuple[Snapshot, list[Pending]], chance: random.Random
):
    snapshot, pending = batch
    shuffled, mixed = list(pending), list(snapshot.nodes)
    chance.shuffle(shuffled)
    chance.shuffle(mixed)
    assert place_all(pending, snapshot) == place_all(shuffled, replace(snapshot, nodes=tuple(mixed)))


@settings(max_examples=150, deadline=None)
@given(batches())
def test_the_board_finds_a_place_exactly_when_a_look_at_every_node_does(batch: tuple[Snapshot, list[Pending]]):
    snapshot, pending = batch
    board = Board(snapshot)
    for item in pending:
        found = board.place(item.need, item.service)
        looked = place(item.need, snapshot, item.service)
        assert (found is None) == isinstance(looked, Refusal), (found, looked)
        if found is not None:
            board.add(item.service, found.allocation)
            snapshot = snapshot.plus(Commitment(item.id, item.service, found.allocation))


@settings(max_examples=60, deadline=None)
@given(batches())
def test_what_was_refused_has_no_place_afterwards(batch: tuple[Snapshot, list[Pending]]):
    snapshot, pending = batch
    outcome = place_all(pending, snapshot)
    after = snapshot.plus(*committed(outcome, pending))
    for item in pending:
        if item.id in outcome.refusals:
            assert isinstance(place_gang(item.need, after, item.service), Refusal)


def filed(board: Board) -> list[object]:
    """All that the index says, to compare."""
    return [
        (
            spot.memory_free,
            sorted(spot.free.values()),
            [(card.entry[1] if card.entry else None, card.room.compute, card.room.memory) for card in spot.cards],
        )
        for spot in board.nodes
    ]


def test_random_operations_leave_the_card_map_as_if_it_were_made_anew():
    chance = random.Random(7)
    cards = tuple(Device("nvidia", f"g{i}", i, "L20", 48 * GIB, slicing=(MIG, MPS)) for i in range(4))
    host = Device(CPU, "cpu-0", 0, "cpu", 64 * GIB, slicing=(CGROUP,), cores=8)
    machines = tuple(NodeCapacity(f"n{i}", f"n{i}", "default", 8, 64 * GIB, (host, *cards)) for i in range(3))
    board = Board(Snapshot(machines))
    held: list[Commitment] = []
    for number in range(3000):
        if held and chance.random() < 0.5:
            gone = held.pop(chance.randrange(len(held)))
            board.remove(gone.service, gone.allocation)
        else:
            asked = SliceRequest(compute_percent=chance.randint(1, 60), memory_bytes=chance.randint(1, 20 * GIB))
            vendor = chance.choice([CPU, "nvidia", "nvidia"])
            need = Requirement("default", vendor, 1, GIB, chance.random(), GIB, chance.choice([asked, asked, None]))
            answer = board.place(need, "s")
            if answer is not None:
                board.add("s", answer.allocation)
                held.append(Commitment(str(number), "s", answer.allocation))
        if number % 300 == 0:
            snapshot = Snapshot(machines, tuple(held))
            check_card_map(snapshot)
            assert filed(board) == filed(Board(snapshot))


def cluster(count: int = 4, cards: int = 8, **more: object) -> tuple[NodeCapacity, ...]:
    devices = tuple(
        Device("nvidia", f"g{i}", i, "L20", 48 * GIB + 256 * MIB, slicing=(replace_limit(MPS),)) for i in range(cards)
    )
    return tuple(NodeCapacity(f"n{i}", f"n{i}", "default", 64, 512 * GIB, devices, **more) for i in range(count))


def replace_limit(way: Slicing) -> Slicing:
    return way.model_copy(update={"at_most": None})


def sliced(percent: int, memory: int, **more: object) -> Requirement:
    asked = SliceRequest(compute_percent=percent, memory_bytes=memory * GIB)
    return Requirement("default", "nvidia", 1, 0, 0.1, GIB, asked, **more)


def cards_used(outcome: Outcome) -> int:
    return len(
        {
            (member.allocation.node_id, share.device_id)
            for members in outcome.placements.values()
            for member in members
            for share in member.allocation.devices
        }
    )


def test_a_pool_that_packs_combines_what_fits_together():
    pending = [Pending(f"a{i}", "a", sliced(70, 5)) for i in range(8)]
    pending += [Pending(f"b{i}", "b", sliced(30, 43)) for i in range(8)]
    outcome = place_all(pending, Snapshot(cluster(), policies={"default": PoolPolicy(Order.PACK)}))
    assert cards_used(outcome) == 8


def test_a_pool_that_packs_uses_cards_that_are_cut_before_it_cuts_others():
    snapshot = Snapshot(cluster(), policies={"default": PoolPolicy(Order.PACK)})
    first = [Pending(f"a{i}", "a", sliced(50, 5)) for i in range(3)]
    snapshot = snapshot.plus(*committed(place_all(first, snapshot), first))
    then = [Pending("b", "b", sliced(40, 5))]
    after = snapshot.plus(*committed(place_all(then, snapshot), then))
    assert len({(item.allocation.node_id, item.allocation.devices[0].device_id) for item in after.commitments}) == 2


def test_replicas_of_a_service_spread_over_nodes_where_the_pool_says_nothing_else():
    pending = [Pending(f"a{i}", "a", sliced(10, 1)) for i in range(8)]
    outcome = place_all(pending, Snapshot(cluster()))
    assert set(Counter(members[0].node for members in outcome.placements.values()).values()) == {2}


def test_the_more_important_goes_first():
    pending = [Pending("low", "a", sliced(60, 1)), Pending("high", "b", sliced(50, 1, priority=1))]
    outcome = place_all(pending, Snapshot(cluster(1, 1)))
    assert list(outcome.placements) == ["high"]
    assert "largest free part is 50 %" in outcome.refusals["low"].sentence


def test_replicas_that_need_the_same_share_one_refusal_with_numbers():
    pending = [Pending(f"a{i}", "a", sliced(60, 1)) for i in range(12)]
    outcome = place_all(pending, Snapshot(cluster(1)))
    assert len(outcome.placements) == 8
    reasons = list(outcome.refusals.values())
    assert all(reason is reasons[0] for reason in reasons)
    assert "largest free part is 40 % and 47 GiB of L20 0; 60 % and 1 GiB were asked" in reasons[0].sentence


def whole(count: int, **more: object) -> Requirement:
    return Requirement("default", "nvidia", count, 20 * GIB, 1, GIB, **more)


def test_a_gang_takes_nodes_of_one_rack_where_there_are_enough():
    machines = tuple(
        replace(node, labels={"rack": rack})
        for node, rack in zip(cluster(5), ["r1", "r2", "r2", "r1", "r2"], strict=True)
    )
    snapshot = Snapshot(machines, policies={"default": PoolPolicy(near="rack")})
    members = place_gang(whole(8, nodes=3), snapshot)
    assert not isinstance(members, Refusal)
    assert {member.node for member in members} == {"n1", "n2", "n4"}


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (5, "5 nodes were asked, and pool default has 4; ask for at most as many"),
        (4, "4 nodes with room for one member each were asked, and 3 of 4 have it"),
    ],
)
def test_a_gang_that_finds_too_few_nodes_gets_nothing_and_a_reason(count: int, sentence: str):
    snapshot = Snapshot(cluster())
    one = place(whole(1), snapshot)
    assert isinstance(one, Placement)
    snapshot = snapshot.plus(Commitment("r", "x", one.allocation))
    answer = place_gang(whole(8, nodes=count), snapshot)
    assert isinstance(answer, Refusal)
    assert answer.sentence == sentence
    outcome = place_all([Pending("g", "g", whole(8, nodes=count)), Pending("w", "w", whole(8))], snapshot)
    assert outcome.refusals["g"].sentence == sentence.replace("3 of 4", "2 of 4")
    assert "w" in outcome.placements


def test_a_node_that_holds_the_model_is_preferred():
    machines = cluster()
    machines = (*machines[:2], replace(machines[2], model_digests=frozenset({"d"})), machines[3])
    for order in Order:
        snapshot = Snapshot(machines, policies={"default": PoolPolicy(order)})
        for need in (whole(2, model_digest="d"), sliced(10, 1, model_digest="d")):
            answer = place(need, snapshot)
            assert isinstance(answer, Placement)
            assert answer.node == "n2"
            found = Board(snapshot).place(need)
            assert found is not None
            assert found.node == "n2"


def test_cards_of_one_product_come_first_and_mixing_is_a_policy():
    cards = tuple(
        Device("nvidia", f"g{i}", i, product, 48 * GIB) for i, product in enumerate(["A", "B", "A", "B", "B"])
    )
    snapshot = Snapshot((NodeCapacity("n", "n", "default", 64, 512 * GIB, cards),))
    alike = place(whole(3), snapshot)
    assert isinstance(alike, Placement)
    assert [share.index for share in alike.allocation.devices] == [1, 3, 4]
    assert isinstance(place(whole(4), snapshot), Placement)
    strict = replace(snapshot, policies={"default": PoolPolicy(unlike=False)})
    answer = place(whole(4), strict)
    assert isinstance(answer, Refusal)
    assert "5 of 5 accelerators are free, but not 4 of one product" in answer.sentence
    assert Board(strict).place(whole(4)) is None


def test_fast_links_come_first():
    links = {("g1", "g3"): "nvlink", ("g0", "g2"): "pcie"}
    [node] = cluster(1, 4, links=links)
    answer = place(whole(2), Snapshot((node,)))
    assert isinstance(answer, Placement)
    assert [share.index for share in answer.allocation.devices] == [1, 3]
    found = Board(Snapshot((node,))).place(whole(2))
    assert found is not None
    assert [share.index for share in found.allocation.devices] == [1, 3]


@pytest.mark.parametrize(
    ("change", "need", "text"),
    [
        ({"labels": {"zone": "a"}}, whole(1, selector=(("zone", "b"),)), "it lacks the label zone=b"),
        ({"taints": ("night",)}, whole(1), "it is kept for replicas that tolerate night"),
        ({}, whole(1, product="H20"), "it has no H20"),
    ],
)
def test_labels_taints_and_products_refuse_in_words(change: dict[str, object], need: Requirement, text: str):
    [node] = cluster(1, 1, **change)
    reason = refuse(need, NodeRoom(node))
    assert reason is not None
    assert reason.text == text
    assert text in place_all([Pending("r", "s", need)], Snapshot((node,))).refusals["r"].sentence
