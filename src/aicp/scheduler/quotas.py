"""What projects hold of a pool, and whether more would be too much. Pure."""

from __future__ import annotations

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
