"""What a pool is for: inference, training, both, or one or the other by the time of the week."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from aicp.scheduler.resources import NodeCapacity, Snapshot

_MINUTES_OF_A_DAY = 24 * 60


class Purpose(StrEnum):
    """Kinds of work."""

    INFERENCE = "inference"
    TRAINING = "training"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Window:
    """A purpose on some days of the week (Monday is 0), from a minute of the day until another.

    One that ends at or before its start goes on over midnight; the day is that of its start.
    """

    purpose: Purpose
    days: frozenset[int]
    start_minute: int
    end_minute: int

    def covers(self, at: datetime) -> bool:
        """Whether the time, in whatever zone the pool's calendar is kept, lies in the window."""
        minute = at.hour * 60 + at.minute
        if self.start_minute < self.end_minute:
            return at.weekday() in self.days and self.start_minute <= minute < self.end_minute
        yesterday = (at.weekday() - 1) % 7
        return (at.weekday() in self.days and minute >= self.start_minute) or (
            yesterday in self.days and minute < self.end_minute
        )


@dataclass(frozen=True, slots=True)
class PoolPurpose:
    """What a pool is for when no window says otherwise; of windows that overlap the first counts."""

    usual: Purpose = Purpose.BOTH
    windows: tuple[Window, ...] = ()

    def at(self, time: datetime) -> Purpose:
        """What it is for at that time."""
        return next((window.purpose for window in self.windows if window.covers(time)), self.usual)

    def takes(self, work: Purpose, time: datetime) -> bool:
        """Whether new work of that kind may start then."""
        return self.at(time) in (work, Purpose.BOTH)


def open_for(snapshot: Snapshot, work: Purpose, purposes: Iterable[tuple[str, PoolPurpose]], now: datetime) -> Snapshot:
    """The snapshot with the nodes of pools closed that do not take such work now; what runs there stays."""
    reasons = {
        pool: f"its pool is for {purpose.at(now).value} now"
        for pool, purpose in purposes
        if not purpose.takes(work, now)
    }

    def closed(node: NodeCapacity) -> NodeCapacity:
        reason = reasons.get(node.pool)
        return node if reason is None or node.unschedulable else replace(node, unschedulable=reason)

    return replace(snapshot, nodes=tuple(closed(node) for node in snapshot.nodes))
