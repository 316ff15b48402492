"""How many replicas a load asks for: named cases, and properties over random loads and times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.core.autoscale import Autoscale, ScaleWindow
from aicp.scheduler.autoscaling import Decision, Load, Recommendation, Scaling, bounds_at, decide_scale

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)  # a Monday
RULE = Autoscale(min_replicas=1, max_replicas=8, queued_per_replica=2, down_seconds=300)
SLEEPER = Autoscale(min_replicas=0, max_replicas=8, running_per_replica=4, idle_seconds=60, down_seconds=0)


def scaling(rule: Autoscale = RULE, wanted: int = 1, ready: int | None = None, **load: float | bool | None) -> Scaling:
    return Scaling(rule, wanted, wanted if ready is None else ready, 4, Load(**load))  # pyright: ignore[reportArgumentType]


def wanted(given_: Scaling, now: datetime = NOW) -> tuple[int, str]:
    decision = decide_scale(given_, now)
    return decision.wanted, decision.reason


@pytest.mark.parametrize(
    ("case", "number", "reason"),
    [
        (scaling(queued=9), 5, "9 requests wait, and 2 may at each replica"),
        (scaling(queued=99), 8, "At most 8 replicas: 99 requests wait, and 2 may at each replica"),
        (scaling(wanted=4, queued=8), 4, ""),
        (scaling(wanted=4, queued=8.6), 4, ""),
        (scaling(wanted=4, queued=9), 5, "9 requests wait, and 2 may at each replica"),
        (
            scaling(Autoscale(max_replicas=9), queued=0, running=9),
            3,
            "9 requests are there, and 4 are for each replica",
        ),
        (scaling(Autoscale(max_replicas=9), queued=5, running=4), 5, "5 requests wait, and 1 may at each replica"),
        (scaling(known=False, queued=50), 1, ""),
        (scaling(SLEEPER, wanted=0, queued=1), 1, "1 requests wait for it to wake"),
        (scaling(SLEEPER, wanted=0, queued=9), 3, "9 requests are there, and 4 are for each replica"),
        (scaling(SLEEPER, wanted=0, idle_seconds=500), 0, ""),
        (scaling(SLEEPER, wanted=2, idle_seconds=59), 1, "There is little to do"),
        (scaling(SLEEPER, wanted=2, idle_seconds=60), 0, "No request came for 60 s"),
        (scaling(SLEEPER, wanted=2, idle_seconds=600, running=1), 1, "There is little to do"),
        (scaling(SLEEPER, wanted=2, idle_seconds=600, known=False), 2, ""),
    ],
)
def test_what_a_load_asks_for(case: Scaling, number: int, reason: str) -> None:
    assert wanted(case) == (number, reason)


@pytest.mark.parametrize(
    ("ready", "kv", "number"),
    [(2, 75, 3), (2, 52, 2), (2, 100, 4), (1, 100, 2), (2, None, 2), (0, 100, 2)],
)
def test_full_caches_ask_for_more_but_not_while_replicas_start(ready: int, kv: float | None, number: int) -> None:
    rule = Autoscale(max_replicas=8, kv_percent=50)
    assert wanted(scaling(rule, 2, ready, kv_percent=kv, running=1))[0] == number


def test_slow_first_tokens_at_most_double_what_is_ready() -> None:
    rule = Autoscale(max_replicas=8, ttft_ms=100, down_seconds=0)
    assert wanted(scaling(rule, 2, ttft_ms=5000, running=3)) == (4, "First tokens take 5000 ms, and 100 ms are wanted")
    assert wanted(scaling(rule, 2, running=3))[0] == 2  # not measured
    assert wanted(scaling(rule, 4))[0] == 1  # nobody asks


def follow(case: Scaling, *loads: tuple[float, Load]) -> list[int]:
    """Numbers that the loads lead to, each at so many seconds."""
    numbers: list[int] = []
    for seconds, load in loads:
        decision: Decision = decide_scale(replace(case, load=load), NOW + timedelta(seconds=seconds))
        case = replace(case, wanted=decision.wanted, ready=decision.wanted, history=decision.history)
        numbers.append(decision.wanted)
    return numbers


def test_up_at_once_and_down_to_the_highest_number_of_the_last_minutes() -> None:
    busy, less, little = Load(queued=16), Load(queued=8), Load(queued=2)
    loads = [(0, busy), (10, less), (299, less), (310, less), (320, little), (600, little), (621, little)]
    assert follow(scaling(), *loads) == [8, 8, 8, 4, 4, 4, 1]


def test_a_dip_and_a_peak_leave_the_number_alone() -> None:
    rule = RULE.model_copy(update={"up_seconds": 30.0})
    steady, peak, dip = Load(queued=8), Load(queued=16), Load(queued=2)
    loads = [(0, steady), (10, peak), (20, steady), (100, dip), (110, steady), (500, peak), (520, peak), (531, peak)]
    assert follow(scaling(rule, 4), *loads) == [4, 4, 4, 4, 4, 4, 4, 8]


def test_without_a_memory_nothing_is_taken_away() -> None:
    assert follow(scaling(wanted=6), (0, Load()), (299, Load()), (301, Load())) == [6, 6, 1]


def test_hours_have_bounds_of_their_own() -> None:
    work = ScaleWindow.parse("mon-fri 08:00-18:00 Asia/Taipei 2-4")
    night = ScaleWindow.parse("fri 22:00-02:00 0-1")
    rule = Autoscale(min_replicas=1, max_replicas=8, windows=[work, night])

    def at(text: str) -> tuple[int, int]:
        bounds = bounds_at(rule, datetime.fromisoformat(text))
        return bounds.least, bounds.most

    assert at("2026-01-05T00:00+00:00") == (2, 4)  # 08:00 in Taipei
    assert at("2026-01-05T10:00+00:00") == (1, 8)
    assert at("2026-01-04T00:00+00:00") == (1, 8)
    assert at("2026-01-09T23:00+00:00") == (0, 1)
    assert at("2026-01-10T01:59+00:00") == (0, 1)
    assert at("2026-01-10T02:00+00:00") == (1, 8)
    asleep = scaling(rule.model_copy(update={"min_replicas": 0}), wanted=0)
    assert wanted(asleep, datetime(2026, 1, 5, tzinfo=UTC)) == (
        2,
        "At least 2 replicas from 08:00 to 18:00 Asia/Taipei",
    )


LOADS = st.builds(
    Load,
    queued=st.integers(0, 500),
    running=st.integers(0, 500),
    kv_percent=st.none() | st.floats(0, 100),
    ttft_ms=st.none() | st.floats(0, 100_000),
    idle_seconds=st.floats(0, 1000),
    known=st.booleans(),
)
TARGETS = st.none() | st.floats(0.5, 100)
RULES = st.builds(
    Autoscale,
    min_replicas=st.integers(0, 3),
    max_replicas=st.integers(3, 20),
    queued_per_replica=TARGETS,
    running_per_replica=TARGETS,
    kv_percent=TARGETS,
    ttft_ms=TARGETS,
    idle_seconds=st.floats(5, 500),
    up_seconds=st.floats(0, 60),
    down_seconds=st.floats(0, 600),
)
HISTORIES = st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 20)), max_size=8).map(
    lambda items: tuple(Recommendation(NOW - timedelta(seconds=at), n) for at, n in sorted(items, reverse=True))
)


@given(rule=RULES, load=LOADS, wanted=st.integers(0, 20), ready=st.integers(0, 20), history=HISTORIES)
def test_it_stays_within_bounds_and_never_sleeps_while_somebody_asks(
    rule: Autoscale, load: Load, wanted: int, ready: int, history: tuple[Recommendation, ...]
) -> None:
    decision = decide_scale(Scaling(rule, wanted, ready, 4, load, history), NOW)
    assert rule.min_replicas <= decision.wanted <= rule.max_replicas
    if load.known and load.queued:
        assert decision.wanted >= 1
    if decision.wanted == 0 and wanted:
        assert load.idle_seconds >= rule.idle_seconds
        assert not load.running
    assert bool(decision.reason) == (decision.wanted != wanted)


@given(rule=RULES, load=LOADS, wanted=st.integers(0, 20), times=st.lists(st.integers(1, 100), max_size=30))
def test_the_same_load_comes_to_rest(rule: Autoscale, load: Load, wanted: int, times: list[int]) -> None:
    load = replace(load, kv_percent=None, ttft_ms=None, known=True)
    case, now = Scaling(rule, wanted, wanted, 4, load), NOW
    for seconds in (*times, 700, 700, 700, 700):
        now += timedelta(seconds=seconds)
        decision = decide_scale(case, now)
        case = replace(case, wanted=decision.wanted, ready=decision.wanted, history=decision.history)
        assert len(decision.history) <= 5
    assert decide_scale(case, now + timedelta(seconds=700)).wanted == case.wanted
