"""Who gets a place, who waits, who is refused: classes, reservations, deadlines, preemption, and places that return."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.admission_world import Job, World

from aicp.core.limits import Priority
from aicp.core.route import KeyEntry
from aicp.gateway.errors import ApiError
from aicp.gateway.priorities import CLASSES, NAMES, haste

RANK = {name: rank for rank, name in enumerate(NAMES)}


def entries(*names: str) -> list[KeyEntry]:
    return [KeyEntry(name, name, "p", priority=name) for name in names]


def fill(world: World, count: int, priority: str = "default", *, sent: bool = True) -> list[Job]:
    """So many requests with a place; their clients have got something."""
    jobs = [world.enter(f"{priority}{n}", key=priority, priority=priority) for n in range(count)]
    for job in jobs:
        assert job.running
        job.bytes_sent = sent
    return jobs


def test_classes_are_those_of_the_platform_and_leave_every_class_a_place() -> None:
    assert tuple(Priority) == NAMES
    assert sum(item.reserved for item in CLASSES) < 1
    assert all(item.starving < item.patience for item in CLASSES[1:])


@pytest.mark.parametrize(
    ("key", "header", "expected"),
    [
        ("default", None, "default"),
        ("interactive", b"batch", "batch"),
        ("interactive", b" Batch ", "batch"),
        ("default", b"critical", "default"),
        ("something new", None, "default"),
    ],
)
def test_a_header_lowers_the_class_and_never_raises_it(key: str, header: bytes | None, expected: str) -> None:
    headers = {} if header is None else {b"x-priority": header}
    assert haste(key, headers).of.name == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-priority", b"urgent"),
        (b"x-slo-ttft-ms", b"soon"),
        (b"x-slo-ttft-ms", b"0"),
        (b"x-slo-ttft-ms", b"9" * 4000),
    ],
)
def test_a_wrong_header_is_refused_and_named(name: bytes, value: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        haste("default", {name: value})
    assert (caught.value.status, caught.value.param) == (400, name.decode())


def test_where_an_engine_has_no_bound_nobody_waits_and_nothing_is_kept() -> None:
    world = World(None)
    jobs = [world.enter(str(n)) for n in range(500)]
    assert all(job.running and job.ticket is None for job in jobs)
    assert not world.alarms


def test_what_comes_beyond_the_places_waits_and_goes_on_when_one_is_free() -> None:
    world = World(2)
    first, second, third = (world.enter(name) for name in "abc")
    assert (first.running, second.running, third.running) == (True, True, False)
    world.pass_by(1.5)
    first.end()
    assert third.running
    assert (third.waits, first.waits) == ([1.5], [])
    assert not world.alarms


def test_a_client_that_leaves_the_queue_is_gone_at_once() -> None:
    world = World(1)
    first, second, third = (world.enter(name) for name in "abc")
    second.end()
    assert world.queued["default"] == len(world.alarms) == 1
    first.end()
    assert (second.starts, third.running) == (0, True)


def test_the_earliest_deadline_of_a_key_is_first() -> None:
    world = World(1)
    first = world.enter("first")
    for name, slo in (("late", 50_000), ("none", None), ("early", 9_000), ("middle", 20_000)):
        world.enter(name, slo_ms=slo)
    first.end()
    while world.running:
        world.running[0].end()
    assert world.order == ["first", "early", "middle", "late", "none"]


def test_a_higher_class_is_served_first() -> None:
    world = World(1, entries(*NAMES))
    blocker = fill(world, 1)[0]
    for priority in reversed(NAMES):
        world.enter(priority, key=priority, priority=priority)
    blocker.end()
    while world.running:
        world.running[0].bytes_sent = True
        world.running[0].end()
    assert world.order[1:] == list(NAMES)


def test_reservations_hold_as_long_as_their_class_is_in_use() -> None:
    world = World(20, entries(*NAMES))
    fill(world, 20, "batch")[0].end()  # nobody else is there: batch may have everything
    assert world.enter("b", key="batch", priority="batch").running
    for job in world.running:
        job.end()
    fill(world, 1, "interactive")[0].end()
    batch = [world.enter(f"b{n}", key="batch", priority="batch") for n in range(20)]
    assert sum(job.running for job in batch) == 16, "a fifth of 20 places is left to interactive"
    for job in batch:
        job.bytes_sent = True
    fill(world, 4, "interactive")
    batch[0].end()
    assert sum(job.running for job in batch) == 16, "interactive has what it was promised, so batch may have the rest"
    for job in [job for job in world.running if job.name.startswith("interactive")]:
        job.end()
    assert sum(job.running for job in batch) == 16
    world.pass_by(700)
    batch[1].end()
    assert sum(job.running for job in batch) == 18, "nobody has come to claim the reservation for ten minutes"


def test_a_class_that_starves_gets_the_next_place() -> None:
    world = World(1, entries(*NAMES))
    blocker = fill(world, 1, "critical")[0]
    batch = world.enter("batch", key="batch", priority="batch")
    served = 0
    while not batch.running:
        served += 1
        assert served < 200
        following = world.enter(f"c{served}", key="critical", priority="critical")
        world.pass_by(1.0)
        blocker.end()
        blocker = following
    starving = next(item.starving for item in CLASSES if item.name == "batch")
    assert starving <= served <= starving + 2


def test_a_higher_class_takes_the_place_of_the_newest_that_was_told_nothing() -> None:
    world = World(3, entries(*NAMES))
    told, old, young = fill(world, 3, sent=False)
    told.bytes_sent = True
    urgent = world.enter("urgent", key="interactive", priority="interactive")
    assert urgent.running
    assert [job.withdrawn for job in (told, old, young)] == [0, 0, 1]
    assert world.waits.preempted == {"default": 1}
    other = world.enter("other")
    urgent.end()
    assert young.running, "who was put back is first in its queue"
    assert not other.running
    again = world.enter("again", key="critical", priority="critical")
    assert again.running
    assert (young.withdrawn, old.withdrawn) == (1, 1), "nobody is put back twice"
    last = world.enter("last", key="critical", priority="critical")
    assert not last.running, "one was told something, one was put back before, one is of the same class"


def test_who_is_put_back_waits_as_long_as_one_that_has_just_come() -> None:
    world = World(1, entries(*NAMES))
    loser = fill(world, 1, sent=False)[0]
    world.pass_by(119)
    winner = world.enter("w", key="interactive", priority="interactive")
    world.pass_by(100)
    assert loser.error is None
    winner.end()
    assert loser.running
    assert loser.waits == [100.0]


def test_equals_and_higher_ones_are_never_put_back() -> None:
    world = World(1, entries(*NAMES))
    fill(world, 1, "interactive", sent=False)
    assert not world.enter("same", key="interactive", priority="interactive").running
    assert not world.enter("lower").running
    assert not world.waits.preempted


def test_a_deadline_that_passes_is_told_with_when_to_come_again() -> None:
    world = World(1)
    fill(world, 1)
    job = world.enter("hurry", slo_ms=1500)
    patient = world.enter("patient")
    world.pass_by(1.4)
    assert job.error is None
    world.pass_by(0.2)
    assert job.error is not None
    assert (job.error.status, job.error.code) == (503, "overloaded")
    assert (job.error.retry_after or 0) >= 1
    assert patient.error is None
    world.pass_by(120)
    assert patient.error is not None, "a class has a bound of its own"
    assert world.waits.shed == {("default", "deadline"): 2}


def test_who_would_wait_too_long_is_told_at_once() -> None:
    world = World(2)
    for _ in range(4):  # places are held for ten seconds
        pair = [world.enter("x"), world.enter("y")]
        world.pass_by(10)
        for job in pair:
            job.end()
    fill(world, 2)
    assert [world.enter(str(n)).error for n in range(4)] == [None] * 4
    late = world.enter("late", slo_ms=20_000)
    assert late.error is not None, "four are ahead, and a place comes free every five seconds"
    assert (late.error.status, late.error.retry_after) == (503, 25)
    assert world.enter("patient", slo_ms=30_000).error is None
    assert world.enter("another key", key="other", slo_ms=10_000).error is None, "a fair share is not behind the others"


def test_a_full_queue_is_cut_where_it_is_longest() -> None:
    world = World(1)
    fill(world, 1)
    most = next(item.most_waiting for item in CLASSES if item.name == "default")
    flood = [world.enter(str(n), key="flood") for n in range(most)]
    assert not any(job.error for job in flood)
    assert world.enter("more", key="flood").error is not None
    assert world.enter("small", key="small").error is None
    assert [job.name for job in flood if job.error] == [str(most - 1)]
    assert flood[-1].error is not None
    assert flood[-1].error.status == 503
    assert world.queued["default"] == most


def test_bodies_that_wait_are_bounded_together() -> None:
    world = World(1)
    fill(world, 1)
    refused = [world.enter(str(n), size=30 * 2**20).error for n in range(12)]
    assert [error is None for error in refused] == [True] * 8 + [False] * 4
    world.waiting[0].end()
    assert world.enter("again", size=30 * 2**20).error is None


def test_a_new_table_changes_the_places_at_once() -> None:
    world = World(1)
    jobs = [world.enter(str(n)) for n in range(6)]
    world.set_places(1, 2)
    assert sum(job.running for job in jobs) == 3
    assert jobs[1].route is world.routes[0], "it goes to the replicas that are there now"
    world.set_places(1)
    jobs[0].end()
    jobs[1].end()
    assert sum(job.running for job in jobs) == 1, "those that are too many end first"
    world.set_places(None)
    assert sum(job.running for job in jobs) == 4
    world.set_places(1)
    assert not world.enter("later").running


def test_what_waits_for_something_that_is_gone_is_told_so() -> None:
    world = World(1, [*entries("default"), KeyEntry("revoked", "revoked", "p")])
    blocker = fill(world, 1)[0]
    jobs = [world.enter("a", key="default"), world.enter("b", key="revoked")]
    del world.keys["revoked"]
    world.set_places(1)
    assert [job.error and job.error.status for job in jobs] == [None, 401]
    world.set_places(1, model="another")
    assert jobs[0].error is not None
    assert (jobs[0].error.status, jobs[0].error.retry_after) == (503, 1)
    kept = world.enter("c", key="default")
    world.set_places()
    assert kept.error is not None
    assert kept.error.code == "model_not_ready"
    world.set_places(1)
    kept = world.enter("d", key="default")
    before = world.routes
    world.swap([])
    assert kept.error is not None
    assert "no longer served" in kept.error.message
    world.swap(before)
    assert not world.enter("e", key="default").running, "its one place is still taken"
    blocker.end()
    assert world.jobs[-1].running


def test_a_gateway_that_ends_answers_what_waits_and_serves_what_it_can() -> None:
    world = World(2)
    first = world.enter("a")
    second, third = world.enter("b"), world.enter("c")
    world.admission.drain()
    assert third.error is not None
    assert (third.error.status, third.error.code) == (503, "shutting_down")
    late = world.enter("d")
    assert late.error is not None
    first.end()
    assert world.enter("e").running
    assert second.running


def test_a_start_that_fails_gives_its_place_back() -> None:
    world = World(1)
    broken = Job("broken", world.routes[0], world, breaks=True)
    with pytest.raises(RuntimeError):
        world.enter("broken", job=broken)
    first = world.enter("first")
    waiting = world.enter("w", job=Job("w", world.routes[0], world, breaks=True))
    last = world.enter("last")
    first.end()
    assert waiting.over
    assert last.running


def test_a_thousand_that_end_at_once_do_not_nest() -> None:
    world = World(1)
    first = world.enter("first")
    jobs = [world.enter(str(n), job=Job(str(n), world.routes[0], world, ends_at_once=True)) for n in range(1000)]
    first.end()
    assert all(job.over and job.error is None for job in jobs)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "end", "end", "leave", "send", "pass", "places", "revoke"]),
        st.integers(0, 50),
        st.sampled_from(NAMES),
    ),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_places_are_never_exceeded_and_always_come_back(steps: list[tuple[str, int, str]]) -> None:
    world = World(4, entries(*NAMES))
    places, most = 4, 4
    for step, number, priority in steps:
        running, waiting = world.running, world.waiting
        if step == "enter":
            world.enter(str(len(world.jobs)), key=f"{priority}{number % 3}", priority=priority)
        elif step == "end" and running:
            running[number % len(running)].end(number, number)
        elif step == "leave" and waiting:
            waiting[number % len(waiting)].end()
        elif step == "send" and running:
            running[number % len(running)].bytes_sent = True
        elif step == "pass":
            world.pass_by(number)
        elif step == "places":
            places = 1 + number % 6
            world.set_places(places)
        elif step == "revoke" and world.keys:
            del world.keys[sorted(world.keys)[number % len(world.keys)]]
            world.swap(world.routes)
        most = max(places, min(most, len(world.running)))
        assert len(world.running) <= most, "after a cut no new one begins before there is room"
        assert not any(job.bytes_sent and job.withdrawn for job in world.waiting)
        counts = Counter(job.ticket.queue.of.name for job in world.waiting if job.ticket is not None)
        assert {name: n for name, n in world.queued.items() if n} == counts
        assert len(world.alarms) == len(world.waiting)
        assert all(job.withdrawn <= 1 for job in world.jobs)
    while world.running:
        world.running[0].end(1, 1)
    assert not world.waiting, "with everything free nobody waits"
    assert all(job.over for job in world.jobs)
    assert all((job.starts > 0) != (job.error is not None) or job.withdrawn or job.over for job in world.jobs)


def test_weights_of_keys_change_with_the_table() -> None:
    world = World(1, entries("default"))
    blocker = fill(world, 1)[0]
    job = world.enter("a", key="default")
    world.keys["default"] = replace(world.keys["default"], weight=5.0)
    world.set_places(1)
    assert job.ticket is not None
    assert job.ticket.key.weight == 5.0
    blocker.end()
    assert job.running
