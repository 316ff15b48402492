"""Reports of several gateways added up: rates, percentiles, places, and use of limits that is never counted twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.control.live_sums import percentile_ms, route_rows, traffic_rows, used_by_scope
from aicp.core.limits import Priority
from aicp.core.live import LiveReport, LiveRoute, LiveSeries, LiveUse, Watched

BOUNDS = [0.1, 0.2, 0.4]


def series(service: str = "demo", priority: str = "default", **values: Any) -> LiveSeries:
    counts = {
        "requests": 0,
        "errors": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cached_tokens": 0,
        "running": 0,
        "waiting": 0,
        "ttft": [0, 0, 0, 0],
    }
    return LiveSeries(service, priority, **(counts | values))


def report(*rows: LiveSeries, seconds: float = 60.0, bounds: list[float] = BOUNDS, **more: Any) -> LiveReport:
    return LiveReport(Watched(traffic=True, scopes=True), seconds, bounds, list(rows), **more)


def test_rates_of_gateways_add_up_whatever_their_windows() -> None:
    one = series(requests=60, errors=6, prompt_tokens=600, cached_tokens=300, running=2, waiting=1, ttft=[1, 0, 0, 0])
    other = series(requests=10, completion_tokens=50, running=1, ttft=[0, 0, 1, 0])
    (row,) = traffic_rows([report(one), report(other, seconds=5)])
    assert (row.service, row.priority) == ("demo", Priority.DEFAULT)
    assert (row.requests_per_second, row.errors_per_second) == (3.0, 0.1)
    assert (row.prompt_tokens_per_second, row.completion_tokens_per_second, row.cached_share) == (10.0, 10.0, 0.5)
    assert (row.running, row.waiting) == (3, 1)
    assert row.ttft_ms_p95 is not None
    assert 200 <= row.ttft_ms_p95 <= 400


def test_classes_are_in_their_order_and_an_unknown_one_is_the_default() -> None:
    rows = traffic_rows([report(series(priority="batch"), series(priority="critical"), series(priority="odd"))])
    assert [row.priority.value for row in rows] == ["critical", "default", "batch"]


def test_gateways_that_count_in_other_bounds_are_left_out_of_percentiles_alone() -> None:
    (row,) = traffic_rows(
        [report(series(requests=60, ttft=[1, 0, 0, 0])), report(series(requests=60, ttft=[5]), bounds=[])]
    )
    assert row.requests_per_second == 2.0
    assert row.ttft_ms_p50 is not None
    assert row.ttft_ms_p50 <= 100


def test_places_are_shared_and_what_is_taken_adds_up() -> None:
    (row,) = route_rows([report(routes=[LiveRoute("r", "demo", 8, 3)]), report(routes=[LiveRoute("r", "demo", 8, 2)])])
    assert (row.places, row.used) == (8, 5)


def test_what_the_store_counted_counts_once() -> None:
    def scopes(own: int) -> dict[str, dict[str, LiveUse]]:
        return {"key:a": {"tokens_per_day": LiveUse(1000, own), "rpm": LiveUse(0, own)}}

    used = used_by_scope([report(scopes=scopes(5)), report(scopes=scopes(7))])
    assert used == {"key:a": {"tokens_per_day": 1012, "rpm": 12}}


@pytest.mark.parametrize("counts", [[], [0, 0, 0, 0]])
def test_nothing_has_no_percentile(counts: list[int]) -> None:
    assert percentile_ms(BOUNDS, counts, 0.5) is None


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any), st.floats(0.01, 1))
def test_a_percentile_lies_within_the_class_of_the_value_it_stands_for(counts: list[int], share: float) -> None:
    found = percentile_ms(BOUNDS, counts, share)
    assert found is not None
    edges = [0.0, *BOUNDS, BOUNDS[-1]]
    values = [number for number, count in enumerate(counts) for _ in range(count)]
    place = values[min(int(max(share * len(values) - 1e-9, 0)), len(values) - 1)]
    assert edges[place] * 1000 - 0.1 <= found <= edges[place + 1] * 1000 + 0.1
    assert found <= percentile_ms(BOUNDS, counts, 1)  # type: ignore[operator]
