"""Accounts whose limits hold over several processes: they take from pools of leased units."""

from __future__ import annotations

from aicp.core.route import LimitsEntry
from aicp.gateway.coordination import RATE, SLOTS, SUM
from aicp.gateway.limits import Account, Calendar, Refusal, Room
from aicp.gateway.pools import Pool, Pools


class LeasedAccount(Account):
    """See Account. What days and months hold is the coordinator's count, and at least what this process knows."""

    __slots__ = ("_days", "_pools", "_rates", "_requests_pool", "_scope", "_slots")

    def __init__(self, pools: Pools, scope: str, name: str, limits: LimitsEntry) -> None:
        self._pools, self._scope = pools, scope
        self._requests_pool: Pool | None = None
        self._slots: Pool | None = None
        self._rates: tuple[Pool, ...] = ()
        self._days: tuple[Pool, ...] = ()
        super().__init__(name, limits)

    def follow(self, limits: LimitsEntry) -> None:
        """See Account."""
        super().follow(limits)
        rates = (("tpm", limits.tpm), ("input_tpm", limits.input_tpm), ("output_tpm", limits.output_tpm))
        rpm, most = limits.rpm, limits.concurrency
        self._requests_pool = None if rpm is None else self._pool("rpm", RATE, rpm, 0)
        self._slots = None if most is None else self._pool("concurrency", SLOTS, most, self._running)
        self._rates = tuple(self._rate(limit, most) for limit, most in rates if most is not None)
        self._days = tuple(self._pool(limit, SUM, most, sum(self._pending)) for limit, most in self._quotas)

    def begin(self, prompt: int, output: int, now: float) -> None:
        """See Account."""
        self._enter(prompt, output)
        if self._requests_pool is not None:
            self._requests_pool.use(1, now)
        if self._slots is not None:
            self._slots.begin(1)
        for pool in self._rates:
            pool.begin(pool.of(prompt, output))
        for pool in self._days:
            pool.begin(prompt + output)

    def end(self, reserved: tuple[int, int], used: tuple[int, int], now: float) -> None:
        """See Account."""
        self._leave(reserved)
        if self._slots is not None:
            self._slots.end(1)
        for pool in self._rates:
            pool.end(pool.of(reserved[0], reserved[1]))
            pool.use(pool.of(used[0], used[1]), now)
        for pool in self._days:
            pool.end(reserved[0] + reserved[1])

    def spend(self, tokens: int, segment: int, at: float) -> None:
        """See Account."""
        super().spend(tokens, segment, at)
        for pool in self._days:
            pool.spend(tokens)

    def refusal(self, prompt: int, output: int, now: float) -> Refusal | None:
        """See Account. Raises ApiError 503 where there is no coordinator and nothing is to be served without it."""
        pools = self._pools
        pools.check()
        now = pools.clock.monotonic()  # a request may have waited since
        short: Refusal | None = None
        for pool in (self._slots, self._requests_pool, *self._rates):
            if pool is None:
                continue
            need = min(pool.of(prompt, output), pool.most) if pool in self._rates else 1
            if pools.missing(pool, need, now):
                refusal = self._refused(pool)
                if refusal.wait is None:
                    return refusal
                short = short or refusal  # asked for together, all of it comes together
        return short

    def keep(self, short: str) -> None:
        """See Account."""
        now = self._pools.clock.monotonic()
        for pool in (self._slots, self._requests_pool, *self._rates, *self._days):
            if pool is not None and pool.limit != short:
                pool.keep(now)

    def over_quota(self, wanted: int, unix: float, calendar: Calendar) -> Refusal | None:
        """See Account. Without a coordinator it is the store's total and the own log."""
        refusal = super().over_quota(wanted, unix, calendar)
        if refusal is not None or not self._pools.connected:
            return refusal
        views = self.quota.used(unix, calendar.first_of_month) if self._days else (0, 0)
        for pool in self._days:
            daily = pool.limit == "tokens_per_day"
            ends = calendar.next_day if daily else calendar.next_month
            pool.turn(calendar.day if daily else calendar.first_of_month, views[0 if daily else 1])
            if self._pools.missing(pool, min(wanted, pool.most), self._pools.clock.monotonic()):
                return self._refused(pool, max(int(ends - unix) + 1, 1))
        return None

    def used(self, now: float, unix: float, calendar: Calendar) -> dict[str, tuple[int, int]]:
        """See Account: what went through here, which the other processes' adds up with."""
        found, now = super().used(now, unix, calendar), self._pools.clock.monotonic()
        for pool in (self._requests_pool, self._slots, *self._rates):
            if pool is not None:
                found[pool.limit] = (0, pool.own.used(now) + pool.pending)
        return found

    def request_room(self, now: float) -> Room | None:
        """See Account."""
        return None if self._requests_pool is None else self._requests_pool.told(self._pools.clock.monotonic())

    def token_room(self, now: float) -> Room | None:
        """See Account."""
        tightest: Room | None = None
        for pool in self._rates:
            room = pool.told(self._pools.clock.monotonic())
            if tightest is None or room[0] < tightest[0]:
                tightest = room
        return tightest

    def _refused(self, pool: Pool, seconds: int = 0) -> Refusal:
        wait = self._pools.worth_waiting(pool)
        return Refusal(pool.limit, pool.most, seconds or pool.seconds, seconds > 0, wait)

    def _pool(self, limit: str, kind: int, most: int, pending: int) -> Pool:
        return self._pools.pool(self._scope, limit, kind, most, pending)

    def _rate(self, limit: str, most: int) -> Pool:
        pool = self._pool(limit, RATE, most, 0)
        pool.pending = pool.of(self._pending[0], self._pending[1])
        return pool
