"""Replicas that go on at an exact place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aicp.core.launch import Allocation, DeviceShare, ReplicaState
from aicp.scheduler.moving import give_up, open_targets
from aicp.scheduler.service_world import ReplicaView
from aicp.scheduler.services import LIVE

ORDERED = datetime(2026, 6, 1, 12, tzinfo=UTC)


def on(card: str) -> Allocation:
    share = DeviceShare(vendor="nvidia", device_id=card, index=0, compute_percent=50, mechanism="mps")
    return Allocation(node_id="n1", devices=[share], cpu_cores=1, memory_bytes=1)


def replica(identity: str, card: str, to: str | None = None, created: float = -60) -> ReplicaView:
    at = ORDERED + timedelta(seconds=created)
    held = ReplicaView(identity, "s1", "demo", 1, ReplicaState.READY, at, allocation=on(card))
    return held if to is None else replace(held, moving=True, target=on(to), moved_at=ORDERED)


def test_a_sibling_that_was_there_before_is_no_successor() -> None:
    mover = replica("r1", "a", to="b")
    sibling = replica("r2", "b")
    assert [target.replica_id for target in open_targets([mover, sibling], LIVE)] == ["r1"]
    assert open_targets([mover, sibling, replica("r3", "b", created=5)], LIVE) == []


def test_two_that_go_to_one_card_need_two_successors() -> None:
    movers = [replica("r1", "a", to="c"), replica("r2", "b", to="c")]
    assert [target.replica_id for target in open_targets([*movers, replica("r3", "c", created=5)], LIVE)] == ["r2"]


def test_a_move_ends_with_a_failure_since_and_with_its_time() -> None:
    mover = replica("r1", "a", to="b")
    failed = [replace(replica(name, "b", created=at), state=ReplicaState.FAILED, reason="it broke")
              for name, at in (("r2", 5), ("r3", -3600))]  # fmt: skip
    assert give_up("s1", [mover], failed[1:]) == []
    assert [stay.reason for stay in give_up("s1", [mover], failed)] == ["its successor did not start (it broke)"]
    late = replace(mover, moving=False, target=None, overdue=True)
    assert [stay.reason for stay in give_up("s1", [late], [])] == ["its successor did not serve in time"]
