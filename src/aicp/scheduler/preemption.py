"""Preemption: whose replicas would have to go so that something more important finds room, as few as possible.

Everything happens on a copy of the card maps; nothing is evicted here, and dropping the answer undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aicp.scheduler.gang import place_gang
from aicp.scheduler.placement import Placement
from aicp.scheduler.quotas import Quotas
from aicp.scheduler.refusal import Refusal, refuse
from aicp.scheduler.resources import Commitment, NodeCapacity, Requirement, Snapshot
from aicp.scheduler.room import NodeRoom


@dataclass(frozen=True, slots=True)
class Eviction:
    """Stop these replicas, then bind the members to these places, the leader first."""

    victims: tuple[str, ...]
    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class Loans:
    """Quotas, and the replicas that run now, with their priorities: what of them runs on borrowed quota goes first."""

    quotas: Quotas
    running: Mapping[str, int]

    def take_back(self, need: Requirement, snapshot: Snapshot, service: str) -> Eviction | None:
        """The least that must go for `need` so that its project gets its quota; None where that gives no place."""
        for is_lent in self.quotas.reclaimable(need.pool, need.project, snapshot):
            answer = make_room(
                need, snapshot, service, lambda item, is_lent=is_lent: item.replica_id in self.running and is_lent(item)
            )
            if isinstance(answer, Eviction) and self.quotas.spares_own(need.pool, answer.victims, snapshot):
                return answer
        return None


@dataclass(frozen=True, slots=True)
class _Price:
    """What room on one node would cost."""

    highest: int
    victims: tuple[str, ...]
    node: str


def make_room(
    need: Requirement,
    snapshot: Snapshot,
    service: str = "",
    may_evict: Callable[[Commitment], bool] | None = None,
) -> Eviction | Refusal:
    """The least that must go for `need`: no victims where there is room, a refusal where nothing helps.

    Victims have a lower priority, unless `may_evict` picks others. Of several ways that with the lowest priorities is
    taken, then that with the fewest replicas. A gang goes as a whole, and a replica of the same service never.
    """
    answer = place_gang(need, snapshot, service)
    if not isinstance(answer, Refusal):
        return Eviction((), answer)

    def is_kept(item: Commitment) -> bool:
        spared = item.priority >= need.priority if may_evict is None else not may_evict(item)
        return spared or item.service == service

    kept = {item.replica_id for item in snapshot.commitments if is_kept(item)}
    prices: list[_Price] = []
    for node, held in snapshot.by_node():
        if node.pool == need.pool:
            price = _price(need, node, held, kept, snapshot)
            if price is not None:
                prices.append(price)
    prices.sort(key=lambda price: (price.highest, len(price.victims), price.node))
    if len(prices) < need.nodes:
        return answer
    chosen = {victim for price in prices[: need.nodes] for victim in price.victims}
    return _least(need, snapshot, service, chosen) or answer


def foresee(
    need: Requirement,
    snapshot: Snapshot,
    service: str,
    replicas: int,
    victims: Mapping[str, int],
    loans: Loans | None = None,
) -> tuple[str, ...]:
    """Who would go, one after another, for so many replicas of `service`; the first without a place ends it.

    `victims` are the replicas that may go for a higher priority, with their priorities; what runs on quota that its
    owner takes back goes before them, see `Loans`.
    """
    left, gone = ranked(snapshot, {**(loans.running if loans else {}), **victims}), list[str]()
    for number in range(replicas):
        answer = _next(need, left, service, victims, loans)
        if answer is None:
            break
        stopped = frozenset(answer.victims)
        gone += answer.victims
        coming = (
            Commitment(f"asked-{number}", service, member.allocation, need.project, need.priority)
            for member in answer.placements
        )
        left = left.without(lambda item, stopped=stopped: item.replica_id in stopped).plus(*coming)
    return tuple(gone)


def _next(
    need: Requirement, left: Snapshot, service: str, victims: Mapping[str, int], loans: Loans | None
) -> Eviction | None:
    """In the order of the scheduler: a free place, then quota taken back, then a higher priority."""
    free = make_room(need, left, service, lambda item: False)
    if not isinstance(free, Refusal):
        return free
    answer = loans.take_back(need, left, service) if loans else None
    if answer is None:
        weaker = make_room(
            need, left, service, lambda item: item.replica_id in victims and item.priority < need.priority
        )
        answer = None if isinstance(weaker, Refusal) else weaker
    if answer is None or loans is None:
        return answer
    coming = [member.allocation for member in answer.placements]
    # Nothing is stopped for what would itself run on borrowed quota.
    return None if loans.quotas.borrows(need.pool, need.project, left, coming) else answer


def ranked(snapshot: Snapshot, priorities: Mapping[str, int]) -> Snapshot:
    """The snapshot with the priorities of these replicas, which what was given away does not carry."""
    known = (replace(item, priority=priorities.get(item.replica_id, item.priority)) for item in snapshot.commitments)
    return replace(snapshot, commitments=tuple(known))


def _price(
    need: Requirement, node: NodeCapacity, held: Sequence[Commitment], kept: set[str], snapshot: Snapshot
) -> _Price | None:
    """The fewest replicas without which the node has room; None where that does not help either."""
    room = NodeRoom(node, held, snapshot.policy(node.pool))
    gone: list[Commitment] = []
    candidates = [item for item in held if item.replica_id not in kept]
    for item in sorted(candidates, key=lambda item: (item.priority, item.replica_id)):
        if refuse(need, room) is None:
            break
        room.remove(item.service, item.allocation)
        gone.append(item)
    if refuse(need, room) is not None:
        return None
    # The most important ones come back first where there is room for them beside what is needed.
    for item in sorted(gone, key=lambda item: (-item.priority, item.replica_id)):
        room.add(item.service, item.allocation)
        if refuse(need, room) is None:
            gone.remove(item)
        else:
            room.remove(item.service, item.allocation)
    highest = max((item.priority for item in gone), default=-(2**31))
    return _Price(highest, tuple(sorted({item.replica_id for item in gone})), node.name)


def _least(need: Requirement, snapshot: Snapshot, service: str, victims: set[str]) -> Eviction | None:
    """Victims without those who turn out to be spared."""

    def without(gone: set[str]) -> tuple[Placement, ...] | Refusal:
        return place_gang(need, snapshot.without(lambda item: item.replica_id in gone), service)

    priorities = {item.replica_id: item.priority for item in snapshot.commitments}
    answer = without(victims)
    if isinstance(answer, Refusal):
        return None
    for victim in sorted(victims, key=lambda victim: (-priorities[victim], victim)):
        fewer = without(victims - {victim})
        if not isinstance(fewer, Refusal):
            victims, answer = victims - {victim}, fewer
    return Eviction(tuple(sorted(victims)), answer)
