"""What projects hold of a pool, and whether more would be too much. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aicp.core.launch import Allocation
from aicp.core.pool import Held, PoolQuota
from aicp.scheduler.borrowing import (
    WORDS,
    Holder,
    Standing,
    is_within,
    keeps_its_own,
    on_loan,
    refuse_loan,
    used_share,
)
from aicp.scheduler.resources import CPU, Commitment, Snapshot


@dataclass(frozen=True, slots=True)
class Quotas:
    """All quotas by (pool, project), the project of each service by its name, and the pools in which projects borrow
    what others leave unused."""

    limits: Mapping[tuple[str, str], PoolQuota] = field(default_factory=dict[tuple[str, str], PoolQuota])
    projects: Mapping[str, str] = field(default_factory=dict[str, str])
    borrowing: frozenset[str] = frozenset()

    def held_in(self, pool: str, project: str, snapshot: Snapshot) -> list[Allocation]:
        """What the replicas of a project hold of a pool."""
        nodes = {node.id for node in snapshot.nodes if node.pool == pool}
        return [
            item.allocation
            for item in snapshot.commitments
            if item.allocation.node_id in nodes and self.projects.get(item.service) == project
        ]

    def refusal(self, pool: str, project: str, snapshot: Snapshot, more: Sequence[Allocation]) -> str | None:
        """Why a project that holds what `snapshot` says may not have `more` as well; None where it may."""
        quota = self.limits.get((pool, project))
        if quota is None:
            return None
        now = self.held_in(pool, project, snapshot)
        then = held([*now, *more])
        if pool in self.borrowing:
            return refuse_loan(pool, quota, held(now), then, self._others(pool, project, snapshot))
        return over_quota(quota, pool, held(now), then)

    def borrows(self, pool: str, project: str, snapshot: Snapshot, more: Sequence[Allocation]) -> bool:
        """Whether a project that holds what `snapshot` says and `more` is beyond its own quota, where it may be."""
        quota = self.limits.get((pool, project))
        if quota is None or pool not in self.borrowing:
            return False
        return not is_within(quota, held([*self.held_in(pool, project, snapshot), *more]))

    def _others(self, pool: str, project: str, snapshot: Snapshot) -> list[Standing]:
        return [
            (quota, held(self.held_in(pool, quota.project, snapshot)))
            for quota in self._of(pool)
            if quota.project != project
        ]

    def _of(self, pool: str) -> list[PoolQuota]:
        return [quota for (where, _), quota in self.limits.items() if where == pool]

    def _holders(self, pool: str, snapshot: Snapshot) -> dict[str, list[Holder]]:
        """Replicas and what they hold of a pool, by project."""
        nodes = {node.id for node in snapshot.nodes if node.pool == pool}
        members: dict[tuple[str, str], list[Commitment]] = {}
        for item in snapshot.commitments:
            if item.allocation.node_id in nodes:
                members.setdefault((self.projects.get(item.service, ""), item.replica_id), []).append(item)
        found: dict[str, list[Holder]] = {}
        for (project, replica_id), items in members.items():
            holder = Holder(replica_id, items[0].priority, tuple(item.allocation for item in items))
            found.setdefault(project, []).append(holder)
        return found

    def may_reclaim(self, pool: str, project: str) -> bool:
        """Whether the project has a quota there that others may use meanwhile."""
        return pool in self.borrowing and (pool, project) in self.limits

    def reclaimable(self, pool: str, project: str, snapshot: Snapshot) -> list[Callable[[Commitment], bool]]:
        """What the owner of a quota may have stopped to get it back, in ways to be tried one after the other: that
        without which borrowing projects still hold their own quota, what they would give up first to borrow nothing,
        then whatever they hold. Empty where nobody else borrows."""
        if not self.may_reclaim(pool, project):
            return []
        holders = self._holders(pool, snapshot)
        spared: set[str] = set()
        lent: set[str] = set()
        all_of: set[str] = set()
        for quota in self._of(pool):
            theirs = holders.get(quota.project, [])
            first, then = ([], []) if quota.project == project else on_loan(quota, theirs, held)
            spared.update(first)
            lent.update(then)
            all_of.update(item.replica_id for item in theirs if then)
        ways = [spared] if spared and spared != lent else []
        ways += [lent, all_of] if lent else []
        return [lambda item, way=way: item.replica_id in way for way in ways]

    def spares_own(self, pool: str, victims: Iterable[str], snapshot: Snapshot) -> bool:
        """Whether stopping `victims` takes from no project what lies within its own quota."""
        gone, holders = set(victims), self._holders(pool, snapshot)
        return all(keeps_its_own(quota, holders.get(quota.project, []), gone, held) for quota in self._of(pool))


class _Tally:
    """What one project holds of one pool, kept up as it changes."""

    def __init__(self) -> None:
        self._cards: Counter[tuple[str, str, str]] = Counter()
        self._compute = 0
        self._memory = 0

    def add(self, allocation: Allocation, times: int = 1) -> None:
        """Counts an allocation; with `times` -1 takes it back."""
        for share in allocation.devices:
            self._compute += times * share.compute_percent
            self._memory += times * share.memory_bytes
            if share.vendor != CPU:
                key = (allocation.node_id, share.vendor, share.device_id)
                self._cards[key] += times
                if not self._cards[key]:
                    del self._cards[key]

    def held(self) -> Held:
        """The sum now."""
        cards = sum(count > 0 for count in self._cards.values())
        return Held(accelerators=cards, compute_percent=self._compute, memory_bytes=self._memory)


class QuotaLedger:
    """The same answers as `Quotas`, kept up over many placements of one pass."""

    def __init__(self, quotas: Quotas, snapshot: Snapshot) -> None:
        self._limits = quotas.limits
        self._borrowing = quotas.borrowing
        self._tallies = {key: _Tally() for key in quotas.limits}
        pools = {node.id: node.pool for node in snapshot.nodes} if self._tallies else {}
        for item in snapshot.commitments if self._tallies else ():
            project = quotas.projects.get(item.service)
            pool = pools.get(item.allocation.node_id)
            if project is not None and pool is not None:
                self.add(pool, project, item.allocation)

    def limits(self, pool: str, project: str) -> bool:
        """Whether there is a quota for the project at all."""
        return (pool, project) in self._limits

    def add(self, pool: str, project: str, allocation: Allocation) -> None:
        """Counts an allocation as held."""
        tally = self._tallies.get((pool, project))
        if tally is not None:
            tally.add(allocation)

    def refusal(self, pool: str, project: str, leaving: Sequence[Allocation], *more: Allocation) -> str | None:
        """Why a project may not have `more` as well once what is `leaving` has left; None where it may."""
        quota = self._limits.get((pool, project))
        if quota is None:
            return None
        now, then = self._change(pool, project, leaving, more)
        if pool not in self._borrowing:
            return over_quota(quota, pool, now, then)
        others = [
            (quota, self._tallies[key].held())
            for key, quota in self._limits.items()
            if key[0] == pool and key[1] != project
        ]
        return refuse_loan(pool, quota, now, then, others)

    def borrows(self, pool: str, project: str, leaving: Sequence[Allocation], *more: Allocation) -> bool:
        """Whether `more` lies beyond the project's own quota, in a pool where it may borrow."""
        quota = self._limits.get((pool, project))
        if quota is None or pool not in self._borrowing:
            return False
        return not is_within(quota, self._change(pool, project, leaving, more)[1])

    def used_share(self, pool: str, project: str) -> float:
        """How much of its own quota a project uses: who uses the least comes first."""
        quota = self._limits.get((pool, project))
        return 0.0 if quota is None else used_share(quota, self._tallies[pool, project].held())

    def _change(
        self, pool: str, project: str, leaving: Sequence[Allocation], more: Sequence[Allocation]
    ) -> tuple[Held, Held]:
        tally = self._tallies[pool, project]
        for item in leaving:
            tally.add(item, -1)
        now = tally.held()
        for item in more:
            tally.add(item)
        then = tally.held()
        for item in more:
            tally.add(item, -1)
        for item in leaving:
            tally.add(item)
        return now, then


def held(allocations: Iterable[Allocation]) -> Held:
    """What `allocations` hold together. Processors count as compute and memory, not as accelerators."""
    shares = [(item.node_id, share) for item in allocations for share in item.devices]
    return Held(
        accelerators=len({(node, share.vendor, share.device_id) for node, share in shares if share.vendor != CPU}),
        compute_percent=sum(share.compute_percent for _, share in shares),
        memory_bytes=sum(share.memory_bytes for _, share in shares),
    )


def over_quota(quota: PoolQuota, pool: str, now: Held, then: Held) -> str | None:
    """Why a project that holds `now` may not hold `then`, in words; None while it may.

    What is already too much (the quota was lowered) stops only what would add to it.
    """
    for name, say in WORDS.items():
        limit, before, after = getattr(quota, name), getattr(now, name), getattr(then, name)
        if limit is not None and after > limit and after > before:
            return (
                f"project {quota.project} may hold {say(limit)} of pool {pool} at once,"
                f" it holds {say(before)} and would hold {say(after)}"
            )
    return None
