"""Scaling rules on the command line, and the command that a change is shown as."""

from __future__ import annotations

import shlex

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from aicp.cli.app import app
from aicp.cli.scaling import scaling_of
from aicp.core.autoscale import Autoscale, ScaleWindow
from aicp.core.errors import InvalidError
from aicp.planner.scaling_options import scaling_options

RULE = Autoscale(min_replicas=0, max_replicas=4, queued_per_replica=2)


def test_what_is_not_given_stays() -> None:
    assert scaling_of(RULE) == RULE
    assert scaling_of(None) is None
    changed = scaling_of(RULE, ["daily 22:00-06:00 0-1"], max_replicas=6, queued_per_replica=0, kv_percent=80)
    assert changed == Autoscale(
        min_replicas=0, max_replicas=6, kv_percent=80, windows=[ScaleWindow.parse("daily 22:00-06:00 UTC 0-1")]
    )
    assert scaling_of(changed, []) == Autoscale(min_replicas=0, max_replicas=6, kv_percent=80)


@pytest.mark.parametrize(
    ("given", "windows", "says"),
    [
        ({"min_replicas": 0}, None, "needs a highest number"),
        ({"min_replicas": 5, "max_replicas": 2}, None, "must not be above"),
        ({"max_replicas": 0}, None, "max_replicas: "),
        ({"max_replicas": 2}, ["always"], "is no window"),
        ({"max_replicas": 2}, ["mon 08:00-18:00 Mars 1-2"], "no time zone"),
    ],
)
def test_what_makes_no_rule_says_why(given: dict[str, int], windows: list[str] | None, says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        scaling_of(None, windows, **given)


UPDATE = typer.main.get_command(app).commands["service"].commands["update"]  # pyright: ignore[reportAttributeAccessIssue]
RULES = st.none() | st.builds(
    Autoscale,
    min_replicas=st.integers(0, 3),
    max_replicas=st.integers(3, 9),
    queued_per_replica=st.none() | st.integers(1, 9),
    ttft_ms=st.none() | st.integers(1, 900),
    idle_seconds=st.integers(5, 900),
    max_wait_seconds=st.integers(0, 900),
    windows=st.lists(st.sampled_from([ScaleWindow.parse("sat,sun 08:00-09:00 UTC 1-2")]), max_size=1),
)


@settings(deadline=None, max_examples=60)
@given(before=RULES, after=RULES)
def test_the_shown_command_makes_the_change(before: Autoscale | None, after: Autoscale | None) -> None:
    words = shlex.split(shlex.join(["demo", *scaling_options(before, after)]))
    said = UPDATE.make_context("update", words).params
    rule = scaling_of(
        None if said["no_autoscale"] else before,
        [] if said["no_windows"] else said["window"] or None,
        min_replicas=said["min_replicas"],
        max_replicas=said["max_replicas"],
        queued_per_replica=said["target_queue"],
        ttft_ms=said["target_ttft_ms"],
        idle_seconds=said["idle_seconds"],
        max_wait_seconds=said["max_wait_seconds"],
    )
    assert rule == after
