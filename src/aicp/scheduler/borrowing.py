"""Quota that one project leaves unused and others use meanwhile, and how its owner gets it back. Pure.

A pool's policy allows it. What is lent at all is never more than what owners leave unused, and the owner of a quota
gets it back by stopping replicas of projects that use more than their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from aicp.core.launch import Allocation
from aicp.core.pool import Held, PoolQuota
from aicp.core.quantity import format_bytes

_FIELDS = ("accelerators", "compute_percent", "memory_bytes")
Standing = tuple[PoolQuota, Held]
"""A project's quota and what the project holds."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A replica and all that it holds: one that spans nodes has an allocation on each and goes as a whole."""

    replica_id: str
    priority: int
    allocations: tuple[Allocation, ...]


def say_accelerators(value: float) -> str:
    """As people count them."""
    return "1 accelerator" if value == 1 else f"{value:.0f} accelerators"


def say_compute(value: float) -> str:
    """In hundredths of an accelerator."""
    return f"{value:.0f} % of compute"


WORDS: dict[str, Callable[[float], str]] = {
    "accelerators": say_accelerators,
    "compute_percent": say_compute,
    "memory_bytes": format_bytes,
}
"""How an amount of each thing that a quota limits is told."""


def borrowed(quota: PoolQuota, held: Held) -> Held:
    """What a project holds beyond its own quota."""
    return Held(**{name: _beyond(quota, held, name) for name in _FIELDS})


def lendable(quota: PoolQuota, held: Held) -> Held:
    """What of its quota a project leaves unused and lends; where it has no limit it lends nothing either."""
    return Held(**{name: _spare(quota, held, name) for name in _FIELDS})


def is_within(quota: PoolQuota, held: Held) -> bool:
    """Whether a project that holds this borrows nothing."""
    return not any(_beyond(quota, held, name) for name in _FIELDS)


def used_share(quota: PoolQuota, held: Held) -> float:
    """How much of its own quota a project uses, in the respect in which it uses the most of it."""
    limits = [(getattr(quota, name), getattr(held, name)) for name in _FIELDS]
    return max((used / max(1, limit) for limit, used in limits if limit is not None), default=0.0)


def refuse_loan(pool: str, quota: PoolQuota, now: Held, then: Held, others: Sequence[Standing]) -> str | None:
    """Why a project that holds `now` may not come to `then` on what `others` leave unused; None where it may."""
    for name in _FIELDS:
        limit, say = getattr(quota, name), WORDS[name]
        more = _beyond(quota, then, name)
        if limit is None or not more or getattr(then, name) <= getattr(now, name):
            continue
        project, own = quota.project, say(limit)
        most = None if quota.borrow_percent is None else limit * quota.borrow_percent // 100
        if most is not None and more > most:
            return (
                f"project {project} may hold {own} of pool {pool} at once and borrow {say(most)},"
                f" and would borrow {say(more)}"
            )
        taken = sum(_beyond(item, held, name) for item, held in others)
        free = max(0, sum(_spare(item, held, name) for item, held in others) - taken)
        if more > free:
            # Sums alone: who borrows how much is not for every project to read.
            return (
                f"project {project} may hold {own} of pool {pool} at once and would borrow {say(more)};"
                f" other projects leave {say(free)} to borrow, and borrow {say(taken)} themselves"
            )
    return None


def _beyond(quota: PoolQuota, held: Held, name: str) -> int:
    limit = getattr(quota, name)
    return 0 if limit is None else max(0, getattr(held, name) - limit)


def _spare(quota: PoolQuota, held: Held, name: str) -> int:
    limit = getattr(quota, name)
    if limit is None:
        return 0
    return max(0, min(limit * quota.lend_percent // 100, limit - getattr(held, name)))


def on_loan(
    quota: PoolQuota, holders: Iterable[Holder], hold: Callable[[Iterable[Allocation]], Held]
) -> tuple[list[str], list[str]]:
    """Replicas of a borrowing project that go first, of the lowest priority and the newest id first: those without
    which it still holds all of its own quota, and these with the others without which it borrows nothing any more."""
    left = sorted(holders, key=lambda item: (-item.priority, item.replica_id))
    before = hold(_all(left))
    limits = {name: getattr(quota, name) for name in _FIELDS if _beyond(quota, before, name)}
    spared: list[str] = []
    for item in reversed(left.copy() if limits else ()):
        fewer = [other for other in left if other is not item]
        then = hold(_all(fewer))
        # What was too much for one replica stays too much with fewer of them, so one look at each is enough.
        if all(getattr(then, name) >= limit for name, limit in limits.items()):
            spared.append(item.replica_id)
            left = fewer
            if is_within(quota, then):
                break
    gone = spared.copy()
    while left and not is_within(quota, hold(_all(left))):
        gone.append(left.pop().replica_id)
    return spared, gone


def keeps_its_own(
    quota: PoolQuota,
    holders: Iterable[Holder],
    victims: Collection[str],
    hold: Callable[[Iterable[Allocation]], Held],
) -> bool:
    """Whether each of the victims is stopped while the project still borrows, the smallest first."""
    left = {item.replica_id: item for item in holders}

    def size(replica_id: str) -> tuple[int, ...]:
        held = hold(left[replica_id].allocations)
        return (held.accelerators, held.compute_percent, held.memory_bytes)

    for replica_id in sorted((replica_id for replica_id in left if replica_id in victims), key=size):
        if is_within(quota, hold(_all(left.values()))):
            return False
        del left[replica_id]
    return True


def _all(holders: Iterable[Holder]) -> Iterator[Allocation]:
    return (allocation for item in holders for allocation in item.allocations)
