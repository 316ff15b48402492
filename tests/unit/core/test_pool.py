"""Pools: hours of training, and what a request may say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from aicp.core.node import NodeUpdate, Taint
from aicp.core.pool import PoolCreate, PoolQuota, PoolUpdate, Purpose, TrainingWindow, takes_inference

# 2026-01-05 is a Monday.
NIGHT = TrainingWindow(days=[1, 2, 3, 4, 5], start="22:00", end="06:00")


@pytest.mark.parametrize(
    ("day", "hour", "minute", "inside"),
    [
        pytest.param(5, 21, 59, False, id="before it begins"),
        pytest.param(5, 22, 0, True, id="as it begins"),
        pytest.param(6, 5, 59, True, id="after midnight"),
        pytest.param(6, 6, 0, False, id="as it ends"),
        pytest.param(5, 3, 0, False, id="the night before the first day"),
        pytest.param(10, 3, 0, True, id="the morning after Friday"),
        pytest.param(10, 23, 0, False, id="Saturday evening"),
        pytest.param(11, 3, 0, False, id="Sunday morning"),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(day: int, hour: int, minute: int, inside: bool):
    assert NIGHT.holds(datetime(2026, 1, day, hour, minute, tzinfo=UTC)) is inside


def test_a_window_is_read_on_the_clock_of_its_zone():
    window = TrainingWindow(days=[2], start="01:00", end="02:00", time_zone="Asia/Taipei")
    assert window.holds(datetime(2026, 1, 5, 17, 30, tzinfo=UTC))
    assert not window.holds(datetime(2026, 1, 6, 1, 30, tzinfo=UTC))


def test_a_window_that_ends_where_it_begins_is_a_whole_day():
    window = TrainingWindow(days=[1], start="08:00", end="08:00")
    assert window.holds(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    assert window.holds(datetime(2026, 1, 6, 7, 59, tzinfo=UTC))
    assert not window.holds(datetime(2026, 1, 6, 8, 0, tzinfo=UTC))


def test_a_pool_says_until_when_it_takes_no_replicas():
    night, noon = datetime(2026, 1, 5, 23, tzinfo=UTC), datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert takes_inference(Purpose.WINDOWS, [NIGHT], night) == "its pool is for training until 06:00 (UTC)"
    assert takes_inference(Purpose.WINDOWS, [NIGHT], noon) is None
    assert takes_inference(Purpose.TRAINING, [], noon) == "its pool is for training"
    assert takes_inference(Purpose.BOTH, [], night) is None


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"name": "p", "purpose": "windows"}, id="windows without any"),
        pytest.param({"name": "p", "windows": [{"start": "22:00", "end": "06:00"}]}, id="windows of another purpose"),
        pytest.param(
            {"name": "p", "purpose": "windows", "windows": [{"start": "25:00", "end": "06:00"}]}, id="no such hour"
        ),
        pytest.param(
            {"name": "p", "purpose": "windows", "windows": [{"start": "1:00", "end": "06:00", "time_zone": "Mars/A"}]},
            id="no such zone",
        ),
        pytest.param({"name": "p", "quotas": [{"project": "a"}, {"project": "a"}]}, id="two quotas of a project"),
        pytest.param({"name": "p", "quotas": [{"project": "a", "accelerators": -1}]}, id="less than nothing"),
        pytest.param({"name": "p", "labels": {"a b": "c"}}, id="a space in a label"),
        pytest.param({"name": "P"}, id="no name"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        PoolCreate.model_validate(wrong)


def test_what_is_not_given_is_not_changed():
    assert PoolUpdate().model_dump(exclude_defaults=True) == {}
    assert NodeUpdate(taints=[Taint(key="gpu")]).model_dump(exclude_unset=True, mode="json") == {
        "taints": [{"key": "gpu"}]
    }
    assert PoolQuota(project="a").accelerators is None
