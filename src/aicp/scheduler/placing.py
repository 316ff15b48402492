"""One pass over all that waits for a place, of all services: by priority, then large before small. Pure.

What finds no place now may find one when others that leave already have left; else replicas of a lower priority that
allow it are stopped for it, as few as possible. Such a place is kept: nothing of a lower priority takes it meanwhile,
so that what was stopped does not come back to where it is stopped again.

Of projects with quotas the one that uses the least of its own comes first among equal priorities. What would borrow
quota of others comes after all that does not, whatever its priority, and nothing is stopped for it; the owner of a
quota has replicas on borrowed quota stopped, and these before any other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from aicp.core.launch import Allocation
from aicp.scheduler.batch import explain, in_order, place_on
from aicp.scheduler.board import Board
from aicp.scheduler.gang import place_members, place_replica, relief
from aicp.scheduler.moving import Target, place_exactly
from aicp.scheduler.pending import Pending
from aicp.scheduler.placement import CPU, Commitment, Placement, Refusal, Requirement, Snapshot
from aicp.scheduler.preemption import make_room, ranked
from aicp.scheduler.quotas import QuotaLedger, Quotas
from aicp.scheduler.service_world import Action, Place, Preempt, Stay, Wait

EVICTIONS = 8
"""Replicas for which others are stopped in one pass; the rest follows in the next, a second later."""
_EXPLAINED = 4000
"""Node by node reasons are worked out up to so many looks at nodes in a pass; beyond it by the nearest nodes alone."""
_RELIEVED = 20_000
"""What to stop is suggested up to so many looks at nodes in a pass."""
_MAKING_ROOM = "Waiting: replicas of a lower priority finish their requests and make room."
_TAKING_BACK = "Waiting: replicas on borrowed quota finish their requests and make room."
_LEAVING = "Waiting: another replica finishes its requests and makes room."
_TURN = "Waiting: replicas of a higher priority are given room first."
_BORROWS = "borrows"
_Members = Sequence[Placement]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A replica without a place.

    `reason` is what was said last. `target` is the only place where it may go. `replaced` are allocations of its
    service that go when it serves: a quota does not count them.
    """

    id: str
    service_id: str
    service: str
    project: str
    need: Requirement
    reason: str | None = None
    replaced: tuple[Allocation, ...] = ()
    may_preempt: bool = False
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Victim:
    """A replica that may be stopped: for one of a higher priority where it is `preemptible`, in any case where it runs
    on quota that its owner takes back. And whose it is."""

    service_id: str
    service: str
    project: str
    priority: int
    preemptible: bool = True


def place_waiting(
    waiting: Sequence[Waiting],
    snapshot: Snapshot,
    quotas: Quotas,
    leaving: Collection[str] = (),
    victims: Mapping[str, Victim] | None = None,
) -> list[Action]:
    """Places, and for the rest why they wait and what is stopped for them.

    `leaving` are replicas that hold something and are going already, `victims` those that may be stopped.
    """
    turn = _Pass(snapshot, quotas, leaving, victims or {})
    ordered = sorted(waiting, key=lambda item: -item.need.priority)
    for _, items in groupby(ordered, key=lambda item: item.need.priority):
        turn.take(list(items))
    turn.lend()
    return turn.finish()


class _Pass:
    def __init__(
        self, snapshot: Snapshot, quotas: Quotas, leaving: Collection[str], victims: Mapping[str, Victim]
    ) -> None:
        self._board = Board(snapshot)
        self._snapshot = snapshot
        self._quotas = quotas
        self._ledger = QuotaLedger(quotas, snapshot)
        self._victims = dict(victims)
        self._lowest = self._lowest_priority()
        self._gone = {item.replica_id for item in snapshot.commitments if item.replica_id in set(leaving)}
        self._made: list[Commitment] = []
        self._later: Board | None = None
        self._hopeless: set[Requirement] = set()
        self._unreclaimable: set[Requirement] = set()
        self._over: dict[tuple[str, Requirement], str] = {}
        self._refused: list[Waiting] = []
        self._borrowers: list[Waiting] = []
        self._lends = False
        self._evictions = 0
        self._actions: list[Action] = []

    def take(self, items: Sequence[Waiting]) -> None:
        """All of one priority."""
        for item in items:
            if item.target is not None:
                self._move(item, item.target)
        items = [item for item in items if item.target is None]
        if self._evictions >= EVICTIONS:
            for item in items:
                self._wait(item, _TURN)
            return
        by_id = {item.id: item for item in items}
        pending = [Pending(item.id, item.service, item.need) for item in items]
        limited = {item.id for item in items if self._ledger.limits(item.need.pool, item.project)}
        outcome = place_on(self._board, [item for item in pending if item.id not in limited])
        for replica_id, members in outcome.placements.items():
            self._placed(by_id[replica_id], members)
        refused = set(outcome.refusals)
        for item in self._in_turn((item for item in pending if item.id in limited), by_id):
            found = place_members(self._board, item.need, item.service)
            if found is None:
                refused.add(item.id)
            elif self._within_quota(by_id[item.id], found):
                self._placed(by_id[item.id], found)
            else:
                _take_back(self._board, item.service, found)
        for item in in_order(item for item in pending if item.id in refused):
            self._make_room(by_id[item.id])

    def lend(self) -> None:
        """All that would borrow, after what does not; nothing is stopped for it."""
        self._lends = True
        borrowers = sorted(self._borrowers, key=lambda item: -item.need.priority)
        for _, items in groupby(borrowers, key=lambda item: item.need.priority):
            self.take([replace(item, may_preempt=False) for item in items])

    def _in_turn(self, items: Iterable[Pending], by_id: Mapping[str, Waiting]) -> Iterator[Pending]:
        queues: dict[tuple[str, str], deque[Pending]] = {}
        for item in in_order(items):
            queues.setdefault((item.need.pool, by_id[item.id].project), deque()).append(item)
        while queues:
            first = min(queues, key=lambda key: (self._ledger.used_share(*key), key))
            yield queues[first].popleft()
            if not queues[first]:
                del queues[first]

    def finish(self) -> list[Action]:
        """All that was decided, with a reason for each that waits for nothing in particular."""
        full = self._snapshot.plus(*self._made)
        needs = {item.need for item in self._refused}
        fully = len(needs) * len(full.nodes) <= _EXPLAINED
        services = len({item.service for item in full.commitments})
        relieved = len(needs) * services * len(full.nodes) <= _RELIEVED
        known: dict[Requirement, str] = {}
        stops: dict[tuple[Requirement, str], list[str]] = {}
        for item in self._refused:
            need, key = item.need, (item.need, item.service)
            if need not in known:
                refusal = place_replica(need, full, item.service) if fully else explain(self._board, need)
                known[need] = refusal.sentence if isinstance(refusal, Refusal) else "others are given room first"
            if relieved and key not in stops:
                stops[key] = relief(need, full, item.service)
            tries = f" Try: stop {' or '.join(stops[key])}." if stops.get(key) else ""
            self._wait(item, f"Waiting: {known[need]}.{tries}")
        return self._actions

    def _move(self, item: Waiting, target: Target) -> None:
        """Puts a successor to the place that was chosen for it and nowhere else."""
        found = place_exactly(item.need, target.allocation, self._snapshot.plus(*self._made), item.service)
        if isinstance(found, Refusal):
            reason = f"its new place is not free any more ({found.sentence})"
            self._actions.append(Stay(target.replica_id, item.service_id, reason))
        elif self._within_quota(item, [found]):
            self._board.add(item.service, found.allocation)
            self._placed(item, [found])

    def _placed(self, item: Waiting, members: _Members) -> None:
        """Notes what the board counts already."""
        self._keep(item, members)
        for member in members if self._later is not None else ():
            self._then().add(item.service, member.allocation)
        leader, *followers = members
        self._actions.append(Place(item.id, leader.allocation, leader.node, tuple(followers)))

    def _keep(self, item: Waiting, members: _Members) -> None:
        for member in members:
            made = Commitment(item.id, item.service, member.allocation, item.project, item.need.priority)
            self._made.append(made)
            self._ledger.add(item.need.pool, item.project, member.allocation)

    def _within_quota(self, item: Waiting, members: _Members) -> bool:
        over = self._beyond(item, members)
        if over is not None:
            self._is_over(item, over)
        return over is None

    def _beyond(self, item: Waiting, members: _Members) -> str | None:
        """Why an item may not have these places now, `_BORROWS` where it has to wait for its turn to borrow; None where
        it may. What is replaced does not count: a quota must not keep a service from being updated or moved."""
        more = [member.allocation for member in members]
        if not self._lends and self._ledger.borrows(item.need.pool, item.project, item.replaced, *more):
            return _BORROWS
        return self._ledger.refusal(item.need.pool, item.project, item.replaced, *more)

    def _is_over(self, item: Waiting, over: str) -> None:
        if over == _BORROWS:
            self._borrowers.append(item)
        else:
            self._wait(item, f"Waiting: {over}.")

    def _make_room(self, item: Waiting) -> None:
        """A place that becomes free by itself, or by stopping others; else it is refused."""
        need = item.need
        weaker = item.may_preempt and need not in self._hopeless
        weaker = weaker and self._lowest is not None and self._lowest < need.priority
        # A place that others would have left is as far beyond the quota for the next replica of the same service.
        over = self._over.get((item.service, need)) if item.may_preempt and not item.replaced else None
        ways = [] if over is not None else self._reclaims(item)
        if not (self._gone or ways or weaker or over is not None):
            self._refused.append(item)
            return
        later = self._then()
        found = place_members(later, need, item.service)
        if found is not None:
            if self._within_quota(item, found):
                self._claim(item, found)
                self._wait(item, item.reason if item.reason in (_MAKING_ROOM, _TAKING_BACK) else _LEAVING)
            else:
                _take_back(later, item.service, found)
        elif over is not None:
            self._is_over(item, over)
        elif (weaker or ways) and self._evictions >= EVICTIONS:
            self._wait(item, _TURN)
        elif not self._reclaim(item, ways) and not (weaker and self._evict(item)):
            self._refused.append(item)

    def _reclaims(self, item: Waiting) -> list[Callable[[Commitment], bool]]:
        """Ways to take back the quota of an item's project, in the order to be tried."""
        if not item.may_preempt or self._lends or item.need in self._unreclaimable:
            return []
        if not self._quotas.may_reclaim(item.need.pool, item.project):
            return []
        ways = self._quotas.reclaimable(item.need.pool, item.project, self._future())
        if not ways:
            self._unreclaimable.add(item.need)
        return ways

    def _reclaim(self, item: Waiting, ways: Sequence[Callable[[Commitment], bool]]) -> bool:
        """Stops what runs on borrowed quota, as little as possible; whether the item is dealt with."""
        for is_lent in ways:
            found = self._stop(
                item,
                lambda held, is_lent=is_lent: is_lent(held) and held.replica_id in self._victims,
                is_lent=True,
            )
            if found:
                return True
        if ways:
            self._unreclaimable.add(item.need)
        return False

    def _evict(self, item: Waiting) -> bool:
        """Stops what is less important, as little as possible; whether the item is dealt with."""
        need = item.need
        if self._stop(item, lambda held: self._weaker(held.replica_id, need)):
            return True
        self._hopeless.add(need)
        return False

    def _stop(self, item: Waiting, may_evict: Callable[[Commitment], bool], *, is_lent: bool = False) -> bool:
        future = ranked(self._future(), {held: victim.priority for held, victim in self._victims.items()})
        answer = make_room(item.need, future, item.service, may_evict)
        if isinstance(answer, Refusal) or not answer.victims:
            return False
        if is_lent and not self._quotas.spares_own(item.need.pool, answer.victims, future):
            return False
        over = self._beyond(item, answer.placements)
        if over is not None:
            if not item.replaced:
                self._over[item.service, item.need] = over
            self._is_over(item, over)
            return True
        self._evictions += 1
        for replica_id in answer.victims:
            victim = self._victims.pop(replica_id)
            reason, gain = _loan_words(item) if is_lent else _words(item, victim, replica_id)
            cause = "Borrowed" if is_lent else "Priority"
            self._actions.append(Preempt(replica_id, victim.service_id, item.service_id, reason, gain, cause))
        self._lowest = self._lowest_priority()
        self._gone.update(answer.victims)
        self._claim(item, answer.placements)
        self._later = None
        self._wait(item, _TAKING_BACK if is_lent else _MAKING_ROOM)
        return True

    def _lowest_priority(self) -> int | None:
        """The lowest priority of what may be stopped for a higher one: known once for all that find no place."""
        return min((victim.priority for victim in self._victims.values() if victim.preemptible), default=None)

    def _weaker(self, replica_id: str, need: Requirement) -> bool:
        victim = self._victims.get(replica_id)
        return victim is not None and victim.preemptible and victim.priority < need.priority

    def _claim(self, item: Waiting, members: _Members) -> None:
        """Keeps a place that is not free yet: nobody else is put on its cards in this pass."""
        self._keep(item, members)
        for allocation in (member.allocation for member in members):
            shares = [
                share if share.vendor == CPU else share.model_copy(update={"mechanism": None})
                for share in allocation.devices
            ]
            self._board.add(item.service, allocation.model_copy(update={"devices": shares}))

    def _future(self) -> Snapshot:
        """When all that leaves has left, and all that comes has come."""
        return self._snapshot.without(lambda held: held.replica_id in self._gone).plus(*self._made)

    def _then(self) -> Board:
        if self._later is None:
            self._later = Board(self._future())
        return self._later

    def _wait(self, item: Waiting, reason: str) -> None:
        if reason != item.reason:
            self._actions.append(Wait(item.id, reason))


def _take_back(board: Board, service: str, members: _Members) -> None:
    for member in members:
        board.remove(service, member.allocation)


def _words(item: Waiting, victim: Victim, replica_id: str) -> tuple[str, str]:
    """What the owner of the one that goes is told, and that of the one that comes."""
    same = item.project == victim.project
    winner = f"service {item.service}" if same else "a service of another project"
    loser = f"replica {replica_id} of service {victim.service}" if same else "a replica of another project"
    return (
        f"It makes room for {winner}, whose priority {item.need.priority} is higher than {victim.priority};"
        " it comes back when there is room.",
        f"No place was free, so {loser} of the lower priority {victim.priority} makes room.",
    )


def _loan_words(item: Waiting) -> tuple[str, str]:
    """The same where quota is taken back. Who lends and who borrows belong to different projects always."""
    return (
        f"It ran on borrowed quota of pool {item.need.pool}, which another project needs itself now;"
        " it comes back when there is quota to borrow.",
        f"No place was free within the quota of project {item.project}, so a replica of another project"
        " on borrowed quota makes room.",
    )
