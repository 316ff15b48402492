"""How pools, quotas, hours of training, labels and taints are written on a command line, and how a drain ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aicp.cli import node_changes
from aicp.cli.marks import changed_labels, changed_taints, taint_text
from aicp.cli.node_changes import _wait
from aicp.cli.pools import _bar, changed_quotas, parse_window
from aicp.core.errors import ConflictError, InvalidError
from aicp.core.launch import ReplicaState
from aicp.core.node import Taint, TaintEffect
from aicp.core.pool import DrainMove, DrainPlan, PoolQuota, TrainingWindow
from aicp.core.quantity import GIB


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("22:00-06:00", TrainingWindow(start="22:00", end="06:00")),
        (
            "1-5 22:00-06:00 Asia/Taipei",
            TrainingWindow(days=[1, 2, 3, 4, 5], start="22:00", end="06:00", time_zone="Asia/Taipei"),
        ),
        ("6,7 00:00-12:00", TrainingWindow(days=[6, 7], start="00:00", end="12:00")),
        ("1,3-4 08:00-09:00", TrainingWindow(days=[1, 3, 4], start="08:00", end="09:00")),
    ],
)
def test_a_window_reads_as_it_is_written(text: str, window: TrainingWindow):
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text", ["", "night", "22-06", "8 22:00-06:00", "22:00-26:00", "22:00-06:00 Mars/A", "5-1 22:00-23:00"]
)
def test_what_is_no_window_is_said_in_words(text: str):
    with pytest.raises(InvalidError):
        parse_window(text)


def test_quotas_are_set_anew_and_lifted():
    present = [PoolQuota(project="lab", accelerators=1), PoolQuota(project="web", compute_percent=50)]
    given = ["lab:accelerators=4,compute=250,memory=64GiB", "web:"]
    assert changed_quotas(present, given) == [
        PoolQuota(project="lab", accelerators=4, compute_percent=250, memory_bytes=64 * GIB)
    ]
    assert changed_quotas(present, []) == present


@pytest.mark.parametrize(
    "text", ["lab", ":accelerators=1", "lab:cards=1", "lab:accelerators=", "lab:memory=much", "lab:accelerators=x"]
)
def test_what_is_no_quota_is_said_in_words(text: str):
    with pytest.raises(InvalidError):
        changed_quotas([], [text])


def test_labels_and_taints_are_set_and_taken_away():
    assert changed_labels({"zone": "a", "rack": "1"}, ["zone=b", "rack="]) == {"zone": "b"}
    present = [Taint(key="old"), Taint(key="gpu", value="x")]
    taints = changed_taints(present, ["gpu=only:prefer_no_schedule", "new"], ["old"])
    assert [taint_text(taint) for taint in taints] == ["gpu=only:prefer_no_schedule", "new:no_schedule"]
    assert taints[0].effect == TaintEffect.PREFER_NO_SCHEDULE
    for wrong in (["zone"], ["=a"], ["a b=c"]):
        with pytest.raises(InvalidError):
            changed_labels({}, wrong)
    with pytest.raises(InvalidError, match="no taint"):
        changed_taints([], ["gpu:never"], [])


def test_a_bar_is_to_scale_and_shows_even_the_smallest_part():
    assert _bar([50, 25], 100) == "█" * 12 + "▓" * 6 + "░" * 6 + " 75 %"
    assert _bar([1], 100) == "█" + "░" * 23 + " 1 %"
    assert _bar([], 100) == "░" * 24 + " 0 %"
    assert _bar([100, 60], 100).endswith(" 160 %")
    assert len(_bar([100, 60], 100)) == len("█" * 24 + " 160 %")


def move(node: str | None, state: ReplicaState = ReplicaState.READY, reason: str | None = None) -> DrainMove:
    return DrainMove(replica="r1", service="chat", project="default", state=state, node=node, reason=reason)


def plan(*moves: DrainMove) -> DrainPlan:
    return DrainPlan(node="node-a", draining=True, moves=list(moves))


def client(*plans: DrainPlan) -> Any:
    answers = iter(plans)
    return SimpleNamespace(nodes=SimpleNamespace(drain_plan=lambda _: next(answers)))


def test_a_drain_is_waited_for_until_the_last_replica_has_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_changes, "_LOOK_EVERY_SECONDS", 0)
    ending = plan(move(None, ReplicaState.DRAINING, "It finishes its requests and stops."))
    assert _wait(client(ending, plan()), "node-a", plan(move("node-b"))).moves == []


def test_a_drain_that_cannot_go_on_says_what_stays_and_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_changes, "_LOOK_EVERY_SECONDS", 0)
    stuck = plan(move(None, reason="no node in pool default has 2 GiB free."))
    with pytest.raises(ConflictError, match="chat: no node in pool default has 2 GiB free") as refused:
        _wait(client(stuck), "node-a", plan(move("node-b")))
    assert "uncordon node-a" in str(refused.value.hint)
