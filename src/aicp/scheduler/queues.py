"""Queues: which of the waiting replicas may take accelerators now, by the quotas of their projects.

A quota is how many accelerators a project may use at once, a slice counting as its share of compute. Projects of one
cohort lend each other what they leave unused; what is lent comes back by preemption, see preemption.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aicp.core.launch import Allocation
from aicp.scheduler.batch import Outcome, in_order, place_on
from aicp.scheduler.board import Board
from aicp.scheduler.pending import Pending
from aicp.scheduler.refusal import Refusal
from aicp.scheduler.resources import CPU, Commitment, Requirement, Snapshot

WHOLE = 100
"""Hundredths of one accelerator, in which everything here is counted."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a project may use of a pool at once. With a `cohort` it may borrow what others of it leave unused, at most
    `borrow` accelerators; None is without limit."""

    project: str
    pool: str
    accelerators: float
    cohort: str | None = None
    borrow: float | None = None


def hundredths(need: Requirement) -> int:
    """How much of a quota something takes; the machine itself is not counted."""
    if need.vendor == CPU:
        return 0
    each = WHOLE if need.slice is None else need.slice.compute_percent
    return each * need.devices * need.nodes


def given_hundredths(allocation: Allocation) -> int:
    """How much of a quota an allocation takes."""
    return sum(
        WHOLE if share.mechanism is None else share.compute_percent
        for share in allocation.devices
        if share.vendor != CPU
    )


class Ledger:
    """What projects use, against their quotas."""

    def __init__(self, quotas: Iterable[Quota], snapshot: Snapshot) -> None:
        self._all = tuple(quotas)
        self._quotas = {(quota.project, quota.pool): quota for quota in self._all}
        self._used: dict[tuple[str, str], int] = defaultdict(int)
        self._pools = {node.id: node.pool for node in snapshot.nodes}
        for item in snapshot.commitments:
            self.add(item.project, item.allocation)

    def copy(self) -> Ledger:
        """Another with the same use, to be charged on trial."""
        twin = Ledger(self._all, Snapshot())
        twin._used.update(self._used)
        return twin

    def add(self, project: str, allocation: Allocation) -> None:
        """Counts an allocation."""
        pool = self._pools.get(allocation.node_id)
        if pool is not None:
            self._used[project, pool] += given_hundredths(allocation)

    def charge(self, need: Requirement) -> None:
        """Counts what is about to be placed."""
        self._used[need.project, need.pool] += hundredths(need)

    def borrowed(self, project: str, pool: str) -> int:
        """Hundredths that a project uses beyond its own quota."""
        quota = self._quotas.get((project, pool))
        return 0 if quota is None else max(0, self._used[project, pool] - _own(quota))

    def share(self, need: Requirement) -> float:
        """How much of its own quota the project uses already; who uses least comes first."""
        quota = self._quotas.get((need.project, need.pool))
        return 0.0 if quota is None else self._used[need.project, need.pool] / max(1, _own(quota))

    def refuse(self, need: Requirement) -> str | None:
        """Why the quota forbids it now, in words; None when it does not."""
        quota = self._quotas.get((need.project, need.pool))
        wanted = hundredths(need)
        if quota is None or not wanted:
            return None
        used = self._used[need.project, need.pool]
        if used + wanted <= _own(quota):
            return None
        asked = (
            f"project {need.project} uses {used / WHOLE:g} of {quota.accelerators:g} accelerators of pool {need.pool}"
        )
        if quota.cohort is None:
            return f"{asked}, and {wanted / WHOLE:g} more were asked; stop something or ask for a larger quota"
        most = None if quota.borrow is None else _own(quota) + round(quota.borrow * WHOLE)
        if most is not None and used + wanted > most:
            return f"{asked} and may borrow {quota.borrow:g}; {wanted / WHOLE:g} more were asked"
        free = self._lendable(quota)
        if wanted > free:
            return f"{asked}, and cohort {quota.cohort} has {free / WHOLE:g} to lend; {wanted / WHOLE:g} were asked"
        return None

    def _lendable(self, quota: Quota) -> int:
        members = [item for item in self._quotas.values() if (item.cohort, item.pool) == (quota.cohort, quota.pool)]
        return max(0, sum(_own(item) - self._used[item.project, item.pool] for item in members))

    def reclaimable(self, need: Requirement) -> Callable[[Commitment], bool]:
        """Picks what a project may take back: allocations of others of its cohort that live on borrowed quota.

        Nothing while the project is not within its own quota with what it asks.
        """
        quota = self._quotas.get((need.project, need.pool))
        if quota is None or quota.cohort is None:
            return _nothing
        if self._used[need.project, need.pool] + hundredths(need) > _own(quota):
            return _nothing
        borrowers = {
            item.project
            for item in self._quotas.values()
            if (item.cohort, item.pool) == (quota.cohort, quota.pool) and self.borrowed(item.project, item.pool)
        }
        return lambda item: item.project in borrowers and self._pools.get(item.allocation.node_id) == need.pool


def _own(quota: Quota) -> int:
    return round(quota.accelerators * WHOLE)


def _nothing(_: Commitment) -> bool:
    return False


def place_queue(pending: Sequence[Pending], snapshot: Snapshot, quotas: Sequence[Quota]) -> Outcome:
    """Places what quotas and cards allow. Where the cards are not enough, projects that use the least of their quota
    come first among equal priorities, one replica of each in turn; where they are, slices are combined as they fit.

    What was let through and found no card leaves its quota to others: these are tried until nothing more moves.
    """
    ledger = Ledger(quotas, snapshot)
    outcome = Outcome()
    waiting = list(pending)
    kept_back: dict[str, str] = {}
    while waiting:
        admitted, kept_back = _admit(waiting, ledger.copy())
        found = place_on(Board(snapshot), admitted)
        if found.refusals:
            found = place_on(Board(snapshot), admitted, in_turn=True)
        made = _commitments(admitted, found)
        snapshot = snapshot.plus(*made)
        for item in made:
            ledger.add(item.project, item.allocation)
        outcome.placements.update(found.placements)
        outcome.refusals.update(found.refusals)
        waiting = [item for item in waiting if item.id in kept_back]
        if not found.refusals:
            break
    for item in waiting:
        outcome.refusals[item.id] = Refusal(item.need.pool, blocked=kept_back[item.id])
    return outcome


def _commitments(items: Sequence[Pending], outcome: Outcome) -> list[Commitment]:
    return [
        Commitment(item.id, item.service, member.allocation, item.need.project, item.need.priority)
        for item in items
        for member in outcome.placements.get(item.id, ())
    ]


def _admit(pending: Sequence[Pending], ledger: Ledger) -> tuple[list[Pending], dict[str, str]]:
    """Those whose quota allows them, charged one after the other, and why the others wait."""
    admitted: list[Pending] = []
    kept_back: dict[str, str] = {}
    by_project: dict[tuple[int, str], list[Pending]] = {}
    for item in in_order(pending):
        by_project.setdefault((-item.need.priority, item.need.project), []).append(item)
    for priority in sorted({key[0] for key in by_project}):
        queues: list[list[Pending]] = [items[::-1] for key, items in sorted(by_project.items()) if key[0] == priority]
        while queues:
            queue = min(queues, key=lambda items: (ledger.share(items[-1].need), items[-1].need.project))
            item = queue.pop()
            queues = [items for items in queues if items]
            reason = ledger.refuse(item.need)
            if reason is None:
                ledger.charge(item.need)
                admitted.append(item)
            else:
                kept_back[item.id] = reason
    return admitted, kept_back
