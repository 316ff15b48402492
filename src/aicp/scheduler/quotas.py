"""What projects hold of a pool, and whether more would be too much. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aicp.core.launch import Allocation
from aicp.core.pool import Held, PoolQuota
from aicp.core.quantity import format_bytes
from aicp.scheduler.placement import CPU, Snapshot


@dataclass(frozen=True, slots=True)
class Quotas:
    """All quotas by (pool, project), and the project of each service by its name."""

    limits: Mapping[tuple[str, str], PoolQuota] = field(default_factory=dict[tuple[str, str], PoolQuota])
    projects: Mapping[str, str] = field(default_factory=dict[str, str])

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
        return over_quota(quota, pool, held(now), held([*now, *more]))


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
        return Held(accelerators=len(self._cards), compute_percent=self._compute, memory_bytes=self._memory)


class QuotaLedger:
    """The same answers as `Quotas`, kept up over many placements of one pass."""

    def __init__(self, quotas: Quotas, snapshot: Snapshot) -> None:
        self._limits = quotas.limits
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
        return over_quota(quota, pool, now, then)


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
    limits = (
        (quota.accelerators, now.accelerators, then.accelerators, _count),
        (quota.compute_percent, now.compute_percent, then.compute_percent, _percent),
        (quota.memory_bytes, now.memory_bytes, then.memory_bytes, format_bytes),
    )
    for limit, before, after, said in limits:
        if limit is not None and after > limit and after > before:
            return (
                f"project {quota.project} may hold {said(limit)} of pool {pool} at once,"
                f" it holds {said(before)} and would hold {said(after)}"
            )
    return None


def _count(value: float) -> str:
    return "1 accelerator" if value == 1 else f"{value:.0f} accelerators"


def _percent(value: float) -> str:
    return f"{value:.0f} % of compute"
