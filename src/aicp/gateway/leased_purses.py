"""Purses whose budgets hold over several processes: they take from pools of leased money."""

from __future__ import annotations

from aicp.core.route import LimitsEntry
from aicp.gateway.budgets import Overdraft, Purse
from aicp.gateway.coordination import SUM
from aicp.gateway.limits import Calendar
from aicp.gateway.pools import Pool, Pools


class LeasedPurse(Purse):
    """See Purse. What was spent is the coordinator's count, and at least what this process knows."""

    __slots__ = ("_pools", "_scope", "_sums")

    def __init__(self, pools: Pools, scope: str, name: str) -> None:
        self._pools, self._scope = pools, scope
        self._sums: tuple[Pool, ...] = ()
        super().__init__(name)

    def follow(self, limits: LimitsEntry) -> None:
        """See Purse."""
        super().follow(limits)
        self._sums = tuple(self._pool("budget_per_" + period, most) for period, most in self._budgets)

    def overdraft(self, wanted: int, unix: float, calendar: Calendar) -> Overdraft | None:
        """See Purse."""
        self._pools.check()
        overdraft = super().overdraft(wanted, unix, calendar)
        if overdraft is not None or not self._pools.connected:
            return overdraft
        views = self._quota.used(unix, calendar.first_of_month)
        for pool in self._sums:
            daily = pool.limit == "budget_per_day"
            ends = calendar.next_day if daily else calendar.next_month
            pool.turn(calendar.day if daily else calendar.first_of_month, views[0 if daily else 1])
            if self._pools.missing(pool, min(wanted, pool.most), self._pools.clock.monotonic()):
                spent = max(pool.most - pool.left, pool.view)
                wait = self._pools.worth_waiting(pool)
                return Overdraft("day" if daily else "month", pool.most, spent, ends, wait)
        return None

    def begin(self, wanted: int) -> None:
        """See Purse."""
        super().begin(wanted)
        for pool in self._sums:
            pool.begin(wanted)

    def leave(self, reserved: int) -> None:
        """See Purse."""
        super().leave(reserved)
        for pool in self._sums:
            pool.end(reserved)

    def end(self, reserved: int, spent: int, segment: int, at: float) -> None:
        """See Purse."""
        super().end(reserved, spent, segment, at)
        for pool in self._sums:
            pool.end(reserved)
            pool.spend(spent)

    def _pool(self, limit: str, most: int) -> Pool:
        return self._pools.pool(self._scope, limit, SUM, most, self._pending)
