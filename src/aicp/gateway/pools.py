"""What this process holds of limits that it shares with others: units that were granted and are taken from at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aicp.core.clock import Clock
from aicp.gateway.coordination import SUM
from aicp.gateway.errors import unavailable
from aicp.gateway.limits import Room, Window

_MINUTE: Final = 61
_MEANT_SECONDS: Final = 0.25
_NO_COORDINATOR: Final = (
    "Limits cannot be checked: their coordinator does not answer, and this gateway is set to serve nothing without it."
)


class Pool:
    """One limit of one scope. Times are monotonic seconds."""

    __slots__ = (
        "_period",
        "_pools",
        "active",
        "again",
        "away",
        "dry_until",
        "due",
        "held",
        "input",
        "kind",
        "least",
        "left",
        "limit",
        "meant_until",
        "most",
        "name",
        "need",
        "output",
        "own",
        "pace",
        "pending",
        "reset",
        "row",
        "seconds",
        "taken",
        "used",
        "valid_until",
        "view",
        "wanted",
    )

    def __init__(self, pools: Pools, name: str, limit: str, kind: int, most: int) -> None:
        self._pools = pools
        self.name, self.limit, self.kind, self.most = name, limit, kind, most
        self.row = name
        """What the coordinator calls it: with the day or month, where it is of one."""
        self._period = 0
        self.input, self.output = limit != "output_tpm", limit != "input_tpm"
        self.held = 0
        """Granted, and not yet told to be used or given back."""
        self.pending = 0
        """Of that: taken by requests under way, which may use less or more."""
        self.used = 0
        """Of that: used since the coordinator was told."""
        self.away = 0
        """Of that: being given back at this moment."""
        self.again = 0
        """Used, and to be told once more to a coordinator that has forgotten it."""
        self.need = self.least = 0
        """What requests wait for, together and the smallest of them."""
        self.taken = 0
        """Since the coordinator was last asked."""
        self.pace = 0.0
        """Units a second, lately."""
        self.view = 0
        """At least so much was used in the day or month, by the store's total and the own log."""
        self.meant_until = 0.0
        """So long what is free is kept for a request that waits for units of another limit."""
        self.valid_until = self.dry_until = 0.0
        """When what is held is lost; until when there is nothing more, by the coordinator's word."""
        self.due = 0.0
        """When there is something to tell again, if nobody needs more before."""
        self.left, self.seconds, self.reset = most, 1, 0
        """What the coordinator last said."""
        self.wanted = self.active = False
        self.own = Window()
        """What went through here in the last minute."""

    def of(self, prompt: int, output: int) -> int:
        """What of a request's tokens counts."""
        return (prompt if self.input else 0) + (output if self.output else 0)

    def free(self, now: float) -> int:
        """What may be taken of what is held."""
        return self.held - self.pending - self.used - self.away if now <= self.valid_until else 0

    def room(self, now: float) -> int:
        """What may be taken: of what is held, or without a coordinator of this process's share."""
        pools = self._pools
        return self.free(now) if pools.connected else pools.share(self.most) - self.pending - self.own.used(now)

    def told(self, now: float) -> Room:
        """What is left for all processes as far as it is known here, and the seconds until all of it is there again."""
        left = self.room(now) + (self.left if self._pools.connected else 0)
        busy = self.pending or self.used
        return max(min(left, self.most), 0), self.most, _MINUTE if busy else self.reset

    def use(self, amount: int, now: float) -> None:
        """So much of the minute went through."""
        self.used += amount
        self.taken += amount
        self.own.add(amount, now)
        self.touch()

    def spend(self, amount: int) -> None:
        """So much of the day or month was used."""
        self.used += amount
        self.touch()

    def begin(self, amount: int) -> None:
        """A request that may use so much begins."""
        self.pending += amount
        self.taken += amount
        self.touch()

    def end(self, amount: int) -> None:
        """It has ended."""
        self.pending = max(self.pending - amount, 0)

    def keep(self, now: float) -> None:
        """A request that would take from it waits for units of another limit."""
        self.meant_until = now + _MEANT_SECONDS

    def lack(self, amount: int) -> None:
        """A request needs so much more than there is."""
        self.need += amount
        self.least = min(self.least, amount) if self.least else amount
        self.touch()

    def turn(self, period: int, view: int) -> None:
        """The day or month of now. What was held is of the one before."""
        if period < self._period:
            return  # a request that began before midnight
        if period != self._period:
            self._period = period
            self.row = self.name + "/" + str(period)
            self.held = self.used = self.away = 0
            self.valid_until = self.dry_until = self.due = 0.0
            self.left = self.most
        self.view = view

    def touch(self) -> None:
        """There is something of it to tell to the coordinator."""
        if not self.active:
            self.active = True
            self._pools.enter(self)


class Pools:
    """All pools of this process; `Leases` keeps them filled. `strict`: without a coordinator nothing limited passes."""

    def __init__(self, clock: Clock, *, strict: bool = False) -> None:
        self.clock = clock
        self.strict = strict
        self.all: dict[str, Pool] = {}
        self.active: list[Pool] = []
        """Those of which there is something to tell."""
        self.connected = True
        self.processes = 1
        """That are known to share the limits."""
        self.at_once: Callable[[Pool, int], None] | None = None
        """Asks the coordinator for units of a pool without waiting, where that is possible."""
        self.wait: Callable[[], Awaitable[None]] | None = None
        """Ends when the coordinator has answered next."""

    def pool(self, scope: str, limit: str, kind: int, most: int, pending: int) -> Pool:
        """The pool of a limit, which outlives route tables; `pending` is what is under way of its scope."""
        name = scope + "/" + limit
        found = self.all.get(name)
        if found is None:
            found = self.all[name] = Pool(self, name, limit, kind, most)
        found.most, found.pending = most, pending
        if pending:
            found.touch()
        return found

    def enter(self, pool: Pool) -> None:
        """A pool is in use again."""
        self.all.setdefault(pool.name, pool)
        self.active.append(pool)

    def tidy(self, now: float) -> None:
        """Forgets pools that nobody has used for a while; one that is used again comes back, see `enter`."""
        self.all = {name: pool for name, pool in self.all.items() if pool.active or pool.own.used(now)}

    def share(self, most: int) -> int:
        """This process's part of a limit while there is no coordinator."""
        return 0 if self.strict else max(most // max(self.processes, 1), 1)

    def missing(self, pool: Pool, need: int, now: float) -> bool:
        """Whether `need` units cannot be taken now, not even after the coordinator was asked, if it can be at once."""
        room = pool.room(now)
        if room >= need:
            return False
        if not self.connected:
            return self.strict or pool.kind != SUM  # days and months have the store's total and the own log
        if now < pool.dry_until:
            return True
        if self.at_once is not None:
            self.at_once(pool, need - max(room, 0))
            if pool.room(self.clock.monotonic()) >= need:
                return False
        pool.lack(need - max(room, 0))
        return True

    def check(self) -> None:
        """Raises ApiError 503 where limits cannot be kept and are not to be guessed."""
        if self.strict and not self.connected:
            raise unavailable(_NO_COORDINATOR, retry_after=1, code="limits_unavailable")

    def worth_waiting(self, pool: Pool) -> Callable[[], Awaitable[None]] | None:
        """How to wait for units that others may give back; None where nobody can."""
        return self.wait if self.connected and self.clock.monotonic() >= pool.dry_until else None
