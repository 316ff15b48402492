"""What to do so that services become what their users asked for. Pure: no input or output, no clock, no memory.

An update makes the new template ready before the old one drains (one replica more than asked at most), and goes back
by itself when the new one does not become healthy. Every pass starts from the full truth, so a lost action or a
repeated one changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from aicp.core.launch import ReplicaState
from aicp.scheduler.gang import place_replica
from aicp.scheduler.moving import give_up, open_targets
from aicp.scheduler.placement import Commitment, Placement, Refusal, Snapshot
from aicp.scheduler.placing import Victim, Waiting, place_waiting
from aicp.scheduler.quotas import Quotas
from aicp.scheduler.resizing import larger, resize
from aicp.scheduler.service_status import (
    FAILED_STARTS,
    TROUBLE_LIMIT,
    failed_starts,
    has_failed,
    last_failure,
    service_status,
)
from aicp.scheduler.service_world import (
    Action,
    Actual,
    Create,
    Desired,
    Drain,
    Place,
    Preempt,
    Promote,
    Remove,
    ReplicaView,
    Report,
    Resize,
    RollBack,
    Start,
    Stay,
    Stop,
    Wait,
)

SURGE = 1
"""Replicas beyond the asked number while an update runs."""
BACKOFF_FIRST = timedelta(seconds=5)
BACKOFF_LIMIT = timedelta(minutes=5)
STABLE_AFTER = timedelta(minutes=10)
"""A replica that served this long and then fails starts the back-off anew."""

_HOLDING = (ReplicaState.DRAINING, ReplicaState.LOST)
"""They hold what they were given, without being alive."""
LIVE = frozenset(
    {
        ReplicaState.PENDING,
        ReplicaState.ALLOCATED,
        ReplicaState.STARTING,
        ReplicaState.LOADING,
        ReplicaState.READY,
        ReplicaState.DEGRADED,
    }
)
_ORDER: Sequence[type] = (
    RollBack,
    Drain,
    Preempt,
    Stay,
    Stop,
    Promote,
    Resize,
    Create,
    Place,
    Wait,
    Start,
    Remove,
    Report,
)


@dataclasses.dataclass(slots=True)
class _Step:
    """What was decided about one service: what to do, and which of its replicas still need a place."""

    actions: list[Action] = dataclasses.field(default_factory=list[Action])
    waiting: list[Waiting] = dataclasses.field(default_factory=list[Waiting])
    leaving: set[str] = dataclasses.field(default_factory=set[str])


def decide(desired: Sequence[Desired], actual: Actual, now: datetime) -> list[Action]:
    """The next steps, stops before starts so that resources come free. Empty when everything is as wanted."""
    snapshot = actual.snapshot
    actions: list[Action] = []
    waiting: list[Waiting] = []
    leaving = {replica.id for replica in actual.replicas if replica.state == ReplicaState.DRAINING}
    owned: dict[str, list[ReplicaView]] = {service.service_id: [] for service in desired}
    for replica in actual.replicas:
        if replica.service_id in owned:
            owned[replica.service_id].append(replica)
        else:
            actions.extend(_removal(replica, "the service is gone"))
            leaving.add(replica.id)
    for service in desired:
        step, snapshot = _decide_service(service, owned[service.service_id], snapshot, actual.quotas, now)
        actions.extend(step.actions)
        waiting.extend(step.waiting)
        leaving |= step.leaving
    if waiting:
        victims = _victims(desired, owned, leaving)
        found = place_waiting(waiting, snapshot, actual.quotas, leaving, victims)
        stopped = {action.replica_id for action in found if isinstance(action, Preempt)}
        actions = [item for item in actions if not (isinstance(item, Start | Resize) and item.replica_id in stopped)]
        actions.extend(found)
    return sorted(actions, key=lambda action: _ORDER.index(type(action)))


def _victims(
    desired: Sequence[Desired], owned: Mapping[str, Sequence[ReplicaView]], leaving: Collection[str]
) -> dict[str, Victim]:
    """Replicas that may be stopped for others, see placing.py."""
    return {
        replica.id: Victim(
            service.service_id, service.name, service.project, service.requirement.priority, service.preemptible
        )
        for service in desired
        for replica in owned[service.service_id]
        if replica.state in LIVE and replica.allocation is not None and replica.id not in leaving
    }


def _decide_service(
    service: Desired, replicas: Sequence[ReplicaView], snapshot: Snapshot, quotas: Quotas, now: datetime
) -> tuple[_Step, Snapshot]:
    step = _Step()
    # 1. Give up on a template that does not become healthy while another one can serve.
    problem = _unhealthy(service, replicas, now)
    if problem and service.fallback is not None:
        step.actions.append(RollBack(service.service_id, service.template, service.fallback, problem))
        return step, snapshot

    # 2. Take away what is too much, hangs, or is drained.
    removals = _hanging(service, replicas, now) | _surplus(service, replicas, snapshot)
    step.leaving.update(removals)
    actions = step.actions
    for replica in replicas:
        if replica.id in removals:
            reason, fault = removals[replica.id]
            actions.extend(_removal(replica, reason, fault=fault))
        elif _must_stop(replica):
            actions.append(Stop(replica.id))
    kept = [replica for replica in replicas if replica.state in LIVE and replica.id not in removals]

    # 3. Make what is missing, start what has a place, and say what needs one.
    service, resized, snapshot = _resizes(service, kept, snapshot, quotas)
    actions.extend(resized)
    actions.extend(_missing(service, replicas, kept, now))
    actions.extend(give_up(service.service_id, kept, failures_in_a_row(_of_template(replicas, service))))
    step.waiting.extend(_waiting(service, replicas, kept))
    actions.extend(
        Start(replica.id) for replica in kept if replica.state != ReplicaState.PENDING and not replica.running
    )

    # 4. Say how it stands.
    current = _of_template(kept, service)
    ready = sum(replica.state == ReplicaState.READY for replica in current)
    if not service.promoted and 0 < service.replicas <= ready:
        actions.append(Promote(service.service_id, service.template))
    if service.deleted and not any(_holds(replica) for replica in replicas):
        actions.append(Remove(service.service_id))
        return step, snapshot
    status = service_status(service, replicas, now)
    if status != service.status:
        actions.append(Report(service.service_id, status))
    return step, snapshot


def _of_template(replicas: Iterable[ReplicaView], service: Desired) -> list[ReplicaView]:
    return [replica for replica in replicas if replica.generation == service.template]


def _staying(replicas: Iterable[ReplicaView], service: Desired) -> list[ReplicaView]:
    """Replicas of the template that nothing makes leave. One on a node that is drained is replaced like an old one."""
    return [replica for replica in _of_template(replicas, service) if not replica.moving]


def _holds(replica: ReplicaView) -> bool:
    """Whether a deleted service must wait for it; one on a silent node is stopped when the node is back."""
    return replica.state in LIVE or replica.state == ReplicaState.DRAINING


def _removal(replica: ReplicaView, reason: str, *, fault: bool = False) -> list[Action]:
    if replica.state == ReplicaState.PENDING:
        return [Stop(replica.id)]
    if replica.state in LIVE:
        return [Drain(replica.id, reason, fault)]
    return [Stop(replica.id)] if _must_stop(replica) else []


def _must_stop(replica: ReplicaView) -> bool:
    """Drained and not yet being ended by its node; an ended row whose process came back with its node; or what is left
    of one that spans nodes."""
    drained = replica.state == ReplicaState.DRAINING and replica.drained
    ended = replica.state in (ReplicaState.STOPPED, ReplicaState.FAILED)
    return replica.running and (drained or ended or replica.bereft)


def _timed_out(service: Desired, replica: ReplicaView, now: datetime) -> bool:
    return (
        replica.state in LIVE
        and replica.ready_at is None
        and replica.loading_at is not None
        and now - replica.loading_at > timedelta(seconds=service.start_timeout_seconds)
    )


def _unhealthy(service: Desired, replicas: Sequence[ReplicaView], now: datetime) -> str | None:
    """Why the newest template is given up; None while it may still become healthy."""
    if service.promoted or service.replicas == 0:
        return None
    current = _of_template(replicas, service)
    failures = failed_starts(current)
    if failures >= FAILED_STARTS:
        return f"{failures} starts failed: {last_failure(current)}"
    for replica in current:
        if replica.state in LIVE and replica.troubled_at and now - replica.troubled_at > TROUBLE_LIMIT:
            return f"it does not start: {replica.reason}"
    if any(_timed_out(service, replica, now) for replica in current):
        return f"it did not become ready within {service.start_timeout_seconds:.0f} s"
    return None


def _hanging(service: Desired, replicas: Sequence[ReplicaView], now: datetime) -> dict[str, tuple[str, bool]]:
    reason = f"it did not become ready within {service.start_timeout_seconds:.0f} s"
    return {replica.id: (reason, True) for replica in replicas if _timed_out(service, replica, now)}


def _surplus(service: Desired, replicas: Sequence[ReplicaView], snapshot: Snapshot) -> dict[str, tuple[str, bool]]:
    """Replicas to take away, each with a reason: all beyond the asked number, and old ones as new ones get ready."""
    live = [replica for replica in replicas if replica.state in LIVE]
    if service.replicas == 0:
        why = "the service is stopped" if service.asleep is None else "the service goes to sleep"
        return {replica.id: (why, False) for replica in live}
    current = _best_first(_staying(live, service))
    extra = {replica.id: ("fewer replicas are wanted", False) for replica in current[service.replicas :]}
    old = [replica for replica in live if replica.generation != service.template or replica.moving]
    ready = sum(replica.state == ReplicaState.READY for replica in current)
    useful = [
        replica for replica in old if replica.state == ReplicaState.READY or replica.generation == service.fallback
    ]
    keep = min(len(useful), max(0, service.replicas - ready))
    if _blocked(service, replicas, [replica for replica in useful if not replica.moving], snapshot):
        keep -= 1
    kept = {replica.id for replica in _best_first(useful)[:keep]}
    return extra | {replica.id: (_leaves(replica, service), False) for replica in old if replica.id not in kept}


def _leaves(replica: ReplicaView, service: Desired) -> str:
    if replica.generation == service.template:
        return replica.moving_why or f"node {replica.node} is being drained"
    return f"replaced by revision {service.template}"


def _blocked(
    service: Desired, replicas: Sequence[ReplicaView], useful: Sequence[ReplicaView], snapshot: Snapshot
) -> bool:
    """Whether an update cannot go on unless one old replica makes room, while others still serve."""
    pending = [replica for replica in _of_template(replicas, service) if replica.state == ReplicaState.PENDING]
    leaving = any(replica.state == ReplicaState.DRAINING for replica in replicas)
    serving = sum(replica.state == ReplicaState.READY for replica in replicas)
    # more may be wanted than there is room for, so what has a place is what can be expected to serve
    placed = sum(replica.state in LIVE and replica.state != ReplicaState.PENDING for replica in replicas)
    if leaving or not pending or not useful or serving < max(2, min(service.replicas, placed)):
        return False
    return isinstance(place_replica(service.requirement, snapshot, service.name), Refusal)


def _best_first(replicas: Iterable[ReplicaView]) -> list[ReplicaView]:
    return sorted(replicas, key=lambda item: (item.state != ReplicaState.READY, item.created_at, item.id))


def _missing(
    service: Desired, replicas: Sequence[ReplicaView], kept: Sequence[ReplicaView], now: datetime
) -> list[Action]:
    current = _staying(kept, service)
    count = service.replicas - len(current)
    if len(kept) > len(current):
        count = min(count, service.replicas + SURGE - len(kept))
    if count <= 0 or now < _next_try(_of_template(replicas, service), now):
        return []
    return [Create(service.service_id, service.template, ordinal) for ordinal in range(count)]


def _waiting(service: Desired, replicas: Sequence[ReplicaView], kept: Sequence[ReplicaView]) -> list[Waiting]:
    """Replicas that need a place. Only as many as are asked for may have others stopped, not the one more of an
    update, and none after a start that failed: the place would be taken again with every try."""
    staying = {replica.id for replica in _staying(kept, service)}
    replaced = tuple(
        allocation
        for replica in replicas
        if replica.allocation is not None and replica.id not in staying
        if replica.state in LIVE or replica.state in _HOLDING
        for allocation in (replica.allocation, *replica.followers)
    )
    held = sum(replica.state != ReplicaState.PENDING for replica in kept)
    needed = 0 if failures_in_a_row(_of_template(replicas, service)) else service.replicas - held
    pending = [replica for replica in kept if replica.state == ReplicaState.PENDING]
    targets = open_targets(replicas, LIVE)
    return [
        Waiting(
            id=replica.id,
            service_id=service.service_id,
            service=service.name,
            project=service.project,
            need=service.requirement,
            reason=replica.reason,
            replaced=replaced,
            may_preempt=number < needed,
            target=targets[number] if number < len(targets) else None,
        )
        for number, replica in enumerate(pending)
    ]


def _next_try(current: Iterable[ReplicaView], now: datetime) -> datetime:
    """When the next replica may be made: at once, or after a wait that doubles with every failure in a row."""
    failed = failures_in_a_row(current)
    if not failed:
        return now
    newest = max(replica.ended_at or now for replica in failed)
    return newest + min(BACKOFF_LIMIT, BACKOFF_FIRST * 2 ** min(len(failed) - 1, 10))


def failures_in_a_row(current: Iterable[ReplicaView]) -> list[ReplicaView]:
    """The newest ended replicas up to the first that did not fail, or served long before it did, or serves."""
    failed: list[ReplicaView] = []
    for replica in sorted(current, key=lambda item: (item.created_at, item.id), reverse=True):
        if replica.state in LIVE and replica.ready_at is None:
            continue
        if replica.state in LIVE or not has_failed(replica) or _served_long(replica):
            break
        failed.append(replica)
    return failed


def _served_long(replica: ReplicaView) -> bool:
    return (
        replica.ready_at is not None
        and replica.ended_at is not None
        and replica.ended_at - replica.ready_at > STABLE_AFTER
    )


def _resizes(
    service: Desired, kept: Sequence[ReplicaView], snapshot: Snapshot, quotas: Quotas
) -> tuple[Desired, list[Action], Snapshot]:
    """Changes of slices under running replicas; where there is no room, the service says so."""
    actions: list[Action] = []
    for replica in _of_template(kept, service):
        held = replica.allocation
        if held is None or not replica.running:
            continue
        answer = resize(replica.id, service.name, held, service.requirement, snapshot)
        if answer is None:
            continue
        others = snapshot.without(lambda item, changed=replica.id: item.replica_id == changed)
        if isinstance(answer, Placement):
            problem = quotas.refusal(service.requirement.pool, service.project, others, [answer.allocation])
        else:
            problem = answer.sentence
        if isinstance(answer, Placement) and problem is None:
            # what becomes free is free when the node has said so
            snapshot = others.plus(Commitment(replica.id, service.name, larger(held, answer.allocation)))
            actions.append(Resize(replica.id, replica.generation, answer.allocation))
        else:
            service = dataclasses.replace(service, note=f"A slice keeps its size: {problem}.")
    return service, actions, snapshot
