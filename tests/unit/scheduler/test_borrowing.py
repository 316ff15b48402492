"""Quota that is lent and taken back: never more than is unused, never from what is a project's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated_services import SimulatedServices

from aicp.core.pool import Held, PoolQuota
from aicp.core.quantity import GIB
from aicp.scheduler import placing
from aicp.scheduler.borrowing import borrowed, lendable, refuse_loan
from aicp.scheduler.placement import CPU, Device, NodeCapacity, Refusal, Requirement, Snapshot
from aicp.scheduler.preemption import Eviction, make_room
from aicp.scheduler.quotas import Quotas
from aicp.scheduler.service_world import Desired, Preempt

LAB = PoolQuota(project="lab", accelerators=2)
WEB = PoolQuota(project="web", accelerators=2)


def node(number: int, cards: int) -> NodeCapacity:
    devices = tuple(Device("nvidia", f"gpu-{index}", index, "L20", 48 * GIB) for index in range(cards))
    host = Device(CPU, "cpu-0", 0, "cpu", 256 * GIB)
    return NodeCapacity(f"n{number}", f"node-{number}", "default", 64, 256 * GIB, (host, *devices))


def service(project: str, replicas: int, cards: int = 1, *, priority: int = 0, preemptible: bool = False) -> Desired:
    need = Requirement("default", "nvidia", cards, 20 * GIB, 1.0, 2 * GIB, project=project, priority=priority)
    return Desired(project, project, 1, 1, replicas, need, project=project, preemptible=preemptible)


def world(*services: Desired, quotas: tuple[PoolQuota, ...] = (LAB, WEB), cards: int = 4) -> SimulatedServices:
    found = SimulatedServices(nodes=(node(0, cards),))
    found.desired = {item.service_id: item for item in services}
    limits = {("default", quota.project): quota for quota in quotas}
    found.quotas = Quotas(limits, {quota.project: quota.project for quota in quotas}, frozenset({"default"}))
    return found


def stopped(world: SimulatedServices, passes: int = 60) -> list[Preempt]:
    found: list[Preempt] = []
    for _ in range(passes):
        found += [action for action in world.pass_once() if isinstance(action, Preempt)]
    return found


@pytest.mark.parametrize(
    ("quota", "then", "others", "words"),
    [
        (LAB, 4, [(WEB, 0)], None),
        (LAB, 3, [(WEB, 2)], "would borrow 1 accelerator; other projects leave 0 accelerators to borrow"),
        (LAB, 3, [(WEB.model_copy(update={"lend_percent": 0}), 0)], "leave 0 accelerators"),
        (LAB, 4, [(WEB.model_copy(update={"lend_percent": 50}), 0)], "leave 1 accelerator to borrow"),
        (LAB.model_copy(update={"borrow_percent": 50}), 4, [(WEB, 0)], "borrow 1 accelerator, and would borrow 2"),
        (LAB, 3, [(WEB, 1), (PoolQuota(project="ops", accelerators=0), 1)], "and borrow 1 accelerator themselves"),
        (LAB, 2, [(WEB, 9)], None),
        (LAB, 3, [(PoolQuota(project="any"), 0)], "leave 0 accelerators"),
    ],
    ids=["unused", "in use", "not lent", "half lent", "a limit", "lent to others", "its own", "no limit lends nothing"],
)
def test_a_loan_is_what_others_leave_and_is_refused_in_words(
    quota: PoolQuota, then: int, others: list[tuple[PoolQuota, int]], words: str | None
):
    standing = [(item, Held(accelerators=held)) for item, held in others]
    said = refuse_loan("default", quota, Held(), Held(accelerators=then), standing)
    assert said is None if words is None else (said is not None and words in said and "project lab may hold" in said)


def test_what_is_borrowed_and_what_is_left_to_lend_is_told():
    assert borrowed(LAB, Held(accelerators=3, compute_percent=300)) == Held(accelerators=1)
    assert lendable(WEB.model_copy(update={"lend_percent": 50}), Held()) == Held(accelerators=1)


def test_without_the_policy_a_quota_is_a_limit():
    simulated = world(service("lab", 4))
    simulated.quotas = replace(simulated.quotas, borrowing=frozenset())
    simulated.settle()
    assert simulated.ready("lab") == 2


def test_a_project_uses_what_another_leaves_and_gives_it_back():
    simulated = world(service("lab", 4))
    simulated.settle()
    assert simulated.ready("lab") == 4
    simulated.desired["web"] = service("web", 2)
    gone = stopped(simulated)
    assert [action.service_id for action in gone] == ["lab", "lab"]
    assert "which another project needs itself now" in gone[0].reason
    assert "web" not in gone[0].reason
    assert "within the quota of project web, so a replica of another project" in gone[0].winner_reason
    assert not any(word in gone[0].winner_reason for word in ("lab", gone[0].replica_id))
    assert {action.cause for action in gone} == {"Borrowed"}
    assert (simulated.ready("lab"), simulated.ready("web")) == (2, 2)
    simulated.desired["web"] = replace(simulated.desired["web"], replicas=0)
    simulated.settle()
    assert simulated.ready("lab") == 4


def test_what_may_not_borrow_waits_with_the_sums_and_names_nobody_else():
    ops = PoolQuota(project="ops", accelerators=0)
    simulated = world(service("ops", 1), quotas=(LAB, WEB, ops), cards=9)
    simulated.settle()
    simulated.desired["lab"] = service("lab", 6)
    simulated.settle()
    assert simulated.ready("lab") == 3
    assert {str(item.reason) for item in simulated.replicas.values() if item.state == "pending"} == {
        "Waiting: project lab may hold 2 accelerators of pool default at once and would borrow 2 accelerators;"
        " other projects leave 1 accelerator to borrow, and borrow 1 accelerator themselves."
    }


def test_the_owner_takes_back_whatever_the_priority_and_no_more_than_its_own():
    simulated = world(service("lab", 4, priority=9))
    simulated.settle()
    simulated.desired["web"] = service("web", 4)
    assert len(stopped(simulated)) == 2
    assert (simulated.ready("lab"), simulated.ready("web")) == (2, 2)


def test_borrowed_replicas_go_before_preemptible_ones_within_their_own_quota():
    ops = PoolQuota(project="ops", accelerators=1)
    simulated = world(
        service("lab", 3), service("ops", 1, priority=-5, preemptible=True), quotas=(LAB, WEB, ops), cards=4
    )
    simulated.settle()
    simulated.desired["web"] = service("web", 1)
    assert [action.service_id for action in stopped(simulated)] == ["lab"]
    assert simulated.ready("ops") == 1


def test_what_would_borrow_stops_nobody():
    simulated = world(service("web", 2, preemptible=True), service("lab", 2), cards=4)
    simulated.settle()
    simulated.desired["lab"] = service("lab", 3, priority=9)
    assert stopped(simulated) == []
    assert (simulated.ready("lab"), simulated.ready("web")) == (2, 2)


def test_a_replica_on_several_nodes_is_taken_back_as_a_whole():
    simulated = world(quotas=(LAB, WEB.model_copy(update={"accelerators": 1})))
    simulated.nodes = (node(0, 1), node(1, 1))
    gang = replace(service("web", 1).requirement, nodes=2)
    simulated.desired["web"] = replace(service("web", 1), requirement=gang)
    simulated.settle()
    assert simulated.ready("web") == 1
    simulated.desired["lab"] = service("lab", 1)
    assert [action.service_id for action in stopped(simulated)] == ["web"]
    assert simulated.ready("lab") == 1


@pytest.mark.parametrize(
    ("asked", "goes"), [(1, "small"), (2, "wide")], ids=["the small one is enough", "a whole one is owed"]
)
def test_a_project_keeps_its_own_quota_where_another_replica_is_enough(asked: int, goes: str):
    """Of web's quota of 2 a small replica runs on one card, and a newer one of a lower priority on two."""
    simulated = world(service("small", 1, priority=5), service("wide", 1, 2), cards=3)
    simulated.quotas = replace(simulated.quotas, projects={"small": "web", "wide": "web", "lab": "lab"})
    simulated.desired = {
        key: replace(item, project="web", requirement=replace(item.requirement, project="web"))
        for key, item in simulated.desired.items()
    }
    simulated.settle()
    assert (simulated.ready("small"), simulated.ready("wide")) == (1, 1)
    simulated.desired["lab"] = service("lab", 1, asked)
    assert [action.service_id for action in stopped(simulated, 2)] == [goes]


@pytest.mark.parametrize("borrowing", [True, False], ids=["it may borrow", "it may not"])
def test_what_is_beyond_the_quota_is_worked_out_once_for_all_replicas_of_a_service(
    borrowing: bool, monkeypatch: pytest.MonkeyPatch
):
    looks: list[str] = []

    def counted(*args: Any) -> Eviction | Refusal:
        looks.append(args[2])
        return make_room(*args)

    monkeypatch.setattr(placing, "make_room", counted)
    simulated = world(service("lab", 2), service("web", 2, priority=-1, preemptible=True), cards=4)
    simulated.settle()
    if not borrowing:
        simulated.quotas = replace(simulated.quotas, borrowing=frozenset())
    simulated.desired["lab"] = service("lab", 22)
    assert stopped(simulated, 3) == []
    # What is created in the first pass is looked at in the two after it.
    assert looks == ["lab"] * 2
    waiting = [str(item.reason) for item in simulated.replicas.values() if item.state == "pending"]
    assert len(waiting) == 20
    assert all("no node" in reason if borrowing else "may hold 2 accelerators" in reason for reason in waiting), waiting


def test_who_borrows_is_asked_only_where_a_quota_can_be_taken_back(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def counted(self: Quotas, pool: str, project: str, snapshot: Snapshot) -> list[Any]:
        asked.append(project)
        return []

    monkeypatch.setattr(Quotas, "reclaimable", counted)
    simulated = world(service("lab", 2), service("any", 9), service("web", 3), cards=4)
    simulated.quotas = replace(simulated.quotas, borrowing=frozenset())
    simulated.settle()
    assert asked == []
    simulated.quotas = replace(simulated.quotas, borrowing=frozenset({"default"}))
    simulated.pass_once()
    assert set(asked) <= {"lab", "web"}


def test_who_uses_the_least_of_its_quota_comes_first():
    simulated = world(service("lab", 2), service("web", 2), cards=2)
    simulated.settle()
    assert (simulated.ready("lab"), simulated.ready("web")) == (1, 1)


@settings(max_examples=40, deadline=None)
@given(
    limits=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    asked=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 2), st.integers(-1, 1)), min_size=3, max_size=3),
    cards=st.integers(1, 6),
)
def test_owners_get_their_own_and_nothing_goes_back_and_forth(
    limits: list[int], asked: list[tuple[int, int, int]], cards: int
):
    names = ("a", "b", "c")
    quotas = tuple(PoolQuota(project=name, accelerators=limit) for name, limit in zip(names, limits, strict=True))
    simulated = world(quotas=quotas, cards=cards)
    for name, (replicas, each, priority) in zip(names, asked, strict=True):
        simulated.desired[name] = service(name, replicas, each, priority=priority)
        simulated.settle()
    assert simulated.settle() == []
    held = {
        name: sum(len(item.allocation.devices) for item in simulated.live(name) if item.allocation is not None)
        for name in names
    }
    over = sum(max(0, held[name] - limit) for name, limit in zip(names, limits, strict=True))
    unused = sum(max(0, limit - held[name]) for name, limit in zip(names, limits, strict=True))
    # Where there are more cards than quota, what an owner takes again leaves a loan standing that it does not need.
    assert over <= unused or sum(limits) < cards
    for name, limit, (replicas, each, _) in zip(names, limits, asked, strict=True):
        owed = min(replicas, limit // each) if each == 1 else 0
        if sum(limits) <= cards and each == 1:
            assert simulated.ready(name) >= owed
