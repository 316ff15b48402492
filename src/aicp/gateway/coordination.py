"""How processes share one limit: each holds units of it that it was granted, and tells what became of them.

A row is one limit of one scope. What a process holds counts against the limit until the process says that it was used
or gives it back; what was used counts from the moment the coordinator hears of it, which is later than the use, and for
a minute after that. So at any moment everything that any process has let through in the minute before is counted, and
the sum of what is counted and what is granted never exceeds the limit. `settle` is the one operation; it is pure, and
`redis_ledger.py` has it once more in Lua.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

RATE, SLOTS, SUM = 0, 1, 2
"""Kinds of rows: by the minute; at the same time; of a day or a month, whose name is part of the row's."""

_WINDOW = 61
"""In steps of a second, so one more than a minute: no minute, wherever it begins, holds more than the limit."""
SILENT_SECONDS = (4.0, 30.0, 4.0)
"""By kind: who has said nothing for so long has lost what it holds. Requests of a process that cannot reach its
coordinator go on, so their slots are kept longer; a process known to have ended loses all at once."""
VALID_SECONDS = 2.0
"""A process itself stops using what it holds so long after it last asked: well before others may get it."""
_FIRM_SECONDS = 0.25
_STEP_SECONDS = 5.0
"""A clock that goes back by less stands still here."""
_WANTS_SECONDS = 0.5


class Ask(msgspec.Struct, frozen=True):
    """What a process says of one row: it keeps `keep`, has used `used` since it last said so, and needs `need` more.

    `least` is the smallest part of `need` that helps anyone, `extra` what it would like to have beyond. `firm`: it has
    nothing that it could give back. `view` is the least that a sum must be, by the store's total and its own log.
    """

    name: str
    kind: int
    most: int
    keep: int
    used: int
    need: int
    least: int
    extra: int
    firm: bool
    view: int = 0


class Told(msgspec.Struct, frozen=True):
    """The answer: units granted, what is left, seconds until there may be room and until all is there again.

    `wanted`: others need what this process holds and does not use, or more was used than had been reserved. `final`:
    nobody can give anything for now.
    """

    granted: int
    left: int
    seconds: int
    reset: int
    wanted: bool
    final: bool


class Settled(msgspec.Struct, frozen=True):
    """The answers to a row of asks, in their order; how many processes are known.

    `born` changes when the coordinator has lost what it knew.
    """

    told: list[Told]
    processes: int
    born: str = ""


class LostCoordinator(Exception):
    """The coordinator cannot be asked; whether it has heard the last ask is not known."""


class Coordinator(Protocol):
    """Where limits are shared."""

    async def settle(self, asks: Sequence[Ask]) -> Settled:
        """Raises LostCoordinator."""
        ...

    async def close(self) -> None:
        """This process leaves; it has given everything back."""
        ...


class Member(msgspec.Struct):
    """What a row knows of one process. `since`: it waits for units since then; `firm`: it could not give any then."""

    held: int = 0
    sequence: int = 0
    seen: float = 0.0
    firm: float = 0.0
    since: float = 0.0


class Row(msgspec.Struct):
    """One limit of one scope: the sums of the last seconds (or one sum), and who holds how much."""

    now: float = 0.0
    total: int = 0
    counts: dict[int, int] = {}
    members: dict[str, Member] = {}


def settle(row: Row, who: str, sequence: int, ask: Ask, now: float, ended: Collection[str] = ()) -> Told:
    """Takes what `who` says and grants what may be granted. An ask that comes behind a later one changes nothing.

    `now` is of one clock for all processes; `ended` are processes that are known to have ended.
    """
    if row.now > now + _STEP_SECONDS:
        _set_back(row, now)
    now = row.now = max(now, row.now)
    _forget(row, ask.kind, now, ended)
    me = row.members.get(who)
    if me is None:
        me = row.members[who] = Member()
    elif sequence <= me.sequence:
        return Told(0, 0, 1, 1, wanted=False, final=False)
    me.sequence, me.held, me.seen = sequence, ask.keep, now
    if ask.firm:
        me.firm = now
    _count(row, ask, now)
    others = [member for member in row.members.values() if member is not me]
    used = row.total if ask.kind == SUM else sum(row.counts.values())
    free = ask.most - used - me.held - sum(other.held for other in others)
    wanted = free < 0 or any(other.since and other.seen > now - _WANTS_SECONDS for other in others)
    granted = _granted(ask, free, len(row.members), wanted=wanted)
    me.since = 0.0 if granted >= ask.need else me.since or now
    final = granted < ask.need and _final(ask, me, others, used, now)
    if final:
        me.since = 0.0  # who waited is refused
    me.held += granted
    seconds = _seconds_until(row, ask.least - free, now)
    if not me.held and not me.since:
        del row.members[who]
    return Told(granted, max(free - granted, 0), seconds, _reset(row, now), wanted=wanted, final=final)


def _granted(ask: Ask, free: int, members: int, *, wanted: bool) -> int:
    """What is needed, and beyond it a part that gets smaller the less is left."""
    if free >= ask.need:
        return ask.need if wanted else ask.need + max(min(ask.extra, (free - ask.need) // (2 * members)), 0)
    return free if 0 < ask.least <= free else 0


def _final(ask: Ask, me: Member, others: list[Member], used: int, now: float) -> bool:
    """Whether waiting is of no use: it is used up, or all others have said just now that they can give nothing."""
    asked = max(me.since, now - _FIRM_SECONDS)  # in this waiting, and lately
    return used + me.held + ask.least > ask.most or all(not other.held or other.firm >= asked for other in others)


def _set_back(row: Row, now: float) -> None:
    """The clock was set back: what counts, counts from now on."""
    row.now, used = now, sum(row.counts.values())
    row.counts = {int(now): used} if used else {}
    for member in row.members.values():
        member.seen, member.firm, member.since = now, 0.0, 0.0


def _forget(row: Row, kind: int, now: float, ended: Collection[str]) -> None:
    oldest = int(now) - _WINDOW
    row.counts = {second: count for second, count in row.counts.items() if second > oldest}
    for name, member in list(row.members.items()):
        if name in ended or now - member.seen > SILENT_SECONDS[kind]:
            del row.members[name]
            if kind == RATE and member.held:  # it may have used all of it until now
                row.counts[int(now)] = row.counts.get(int(now), 0) + member.held


def _count(row: Row, ask: Ask, now: float) -> None:
    if ask.kind == SUM:
        row.total = max(row.total + ask.used, ask.view)
    elif ask.used:
        row.counts[int(now)] = row.counts.get(int(now), 0) + ask.used


def _seconds_until(row: Row, amount: int, now: float) -> int:
    """After how many seconds `amount` of what was used has gone by, at least 1."""
    gone = 0
    for second in sorted(row.counts):
        gone += row.counts[second]
        if gone >= amount:
            return max(second + _WINDOW - int(now), 1)
    return 1


def _reset(row: Row, now: float) -> int:
    return max(row.counts) + _WINDOW - int(now) if row.counts else 0
