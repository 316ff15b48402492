"""Scaling rules: what is refused, and windows as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aicp.core.autoscale import Autoscale, ScaleWindow, Weekday


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mon-fri 08:00-18:00", "is no window"),
        ("moon 08:00-18:00 UTC 1-2", "moon"),
        ("mon 08:00-18:00 Mars/Base 1-2", "no time zone"),
        ("mon 08:00-25:00 UTC 1-2", "end"),
        ("mon 08:00-18:00 UTC 3-2", "must not be above"),
    ],
)
def test_a_wrong_window_says_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ScaleWindow.parse(text)


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"min_replicas \(5\) must not be above max_replicas \(2\)"):
        Autoscale(min_replicas=5, max_replicas=2)


def test_days_may_be_a_range_over_the_weekend() -> None:
    window = ScaleWindow.parse("sat-mon,wed 22:00-06:00 0-1")
    assert window.days == [Weekday.SATURDAY, Weekday.SUNDAY, Weekday.MONDAY, Weekday.WEDNESDAY]
    assert window.time_zone == "UTC"


@given(
    days=st.lists(st.sampled_from(Weekday), min_size=1, unique=True),
    start=st.times(),
    end=st.times(),
    zone=st.sampled_from(["UTC", "Asia/Taipei", "America/New_York"]),
    least=st.integers(0, 5),
    more=st.integers(1, 5),
)
def test_text_and_back(days: list[Weekday], start, end, zone: str, least: int, more: int) -> None:
    start, end = (at.replace(second=0, microsecond=0) for at in (start, end))
    window = ScaleWindow(days=days, start=start, end=end, time_zone=zone, min_replicas=least, max_replicas=least + more)
    back = ScaleWindow.parse(str(window))
    assert back.model_copy(update={"days": sorted(back.days)}) == window.model_copy(update={"days": sorted(days)})
