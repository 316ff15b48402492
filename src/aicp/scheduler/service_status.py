"""The state of a service in words that a user understands, computed from its replicas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from aicp.core.launch import ReplicaState
from aicp.core.service import ServiceState
from aicp.scheduler.service_world import Desired, ReplicaView, Status

FAILED_STARTS = 3
"""Failed starts in a row after which a revision counts as unhealthy."""
TROUBLE_LIMIT = timedelta(seconds=90)
"""A replica whose starts all fail counts as failed after this long; its node has tried about six times by then."""

_ENDED = frozenset({ReplicaState.STOPPED, ReplicaState.FAILED, ReplicaState.FENCED})
_NEAREST_READY = (
    ReplicaState.DEGRADED,
    ReplicaState.LOADING,
    ReplicaState.STARTING,
    ReplicaState.ALLOCATED,
    ReplicaState.PENDING,
    ReplicaState.LOST,
    ReplicaState.DRAINING,
)


def has_failed(replica: ReplicaView) -> bool:
    """Whether a replica ended, or is ending, because something went wrong."""
    return replica.state == ReplicaState.FAILED or replica.fault is not None


def failed_starts(replicas: Sequence[ReplicaView]) -> int:
    """Starts that never became ready: ended replicas, and restarts of those that still try."""
    unborn = [replica for replica in replicas if replica.ready_at is None]
    return sum(1 for replica in unborn if has_failed(replica)) + sum(
        replica.restarts for replica in unborn if not has_failed(replica) and replica.state not in _ENDED
    )


def last_failure(replicas: Sequence[ReplicaView]) -> str:
    """What the newest failed or restarted replica says."""
    for replica in sorted(replicas, key=lambda item: item.created_at, reverse=True):
        text = replica.fault or replica.reason
        if text and (has_failed(replica) or replica.restarts or replica.troubled_at):
            return text
    return "the engine gave no reason; look at its log"


def service_status(service: Desired, replicas: Sequence[ReplicaView], now: datetime) -> Status:
    """State, reason and counts of a service."""
    current = [replica for replica in replicas if replica.generation == service.template]
    ready = sum(replica.state == ReplicaState.READY for replica in current)
    serving_old = {
        replica.generation
        for replica in replicas
        if replica.generation != service.template and replica.state == ReplicaState.READY
    }
    state, reason = _state(service, replicas, ready, serving_old, now)
    return Status(
        state=state,
        reason=reason,
        ready=sum(replica.state == ReplicaState.READY for replica in replicas),
        wanted=service.replicas,
        observed_generation=service.generation,
    )


def _state(
    service: Desired, replicas: Sequence[ReplicaView], ready: int, serving_old: set[int], now: datetime
) -> tuple[ServiceState, str]:
    current = [replica for replica in replicas if replica.generation == service.template]
    if service.deleted or service.replicas == 0:
        return _ending(service, replicas)
    if ready >= service.replicas and not serving_old:
        return ServiceState.READY, service.note
    why = explain(current)
    if serving_old:
        old = ", ".join(str(generation) for generation in sorted(serving_old))
        return ServiceState.UPDATING, f"Revision {service.template}: {why}; revision {old} keeps serving"
    if ready:
        counted = f"{ready} of {service.replicas} replicas are ready. {why}"
        return (ServiceState.DEGRADED if service.promoted else ServiceState.STARTING), counted
    trying = [replica for replica in current if replica.state not in _ENDED]
    if all(replica.state == ReplicaState.PENDING for replica in trying) and (trying or not current):
        return ServiceState.PENDING, why
    if _hopeless(current, now):
        return ServiceState.FAILED, f"The engine does not start: {last_failure(current)} (it is tried again)"
    return ServiceState.STARTING, why


def _hopeless(current: Sequence[ReplicaView], now: datetime) -> bool:
    troubled = (replica.troubled_at for replica in current if replica.state not in _ENDED)
    return failed_starts(current) >= FAILED_STARTS or any(at and now - at > TROUBLE_LIMIT for at in troubled)


def _ending(service: Desired, replicas: Sequence[ReplicaView]) -> tuple[ServiceState, str]:
    left = [replica for replica in replicas if replica.state not in _ENDED]
    silent = sorted({replica.node or "?" for replica in left if replica.state == ReplicaState.LOST})
    if any(replica.state != ReplicaState.LOST for replica in left):
        return ServiceState.STOPPING, f"{len(left)} of its replicas finish their requests and stop"
    if silent:
        return ServiceState.STOPPED, f"A replica may still run on node {', '.join(silent)}, which does not answer"
    if service.deleted:
        return ServiceState.STOPPING, "Being deleted"
    return (ServiceState.STOPPED, "") if service.asleep is None else (ServiceState.SLEEPING, service.asleep)


def explain(replicas: Sequence[ReplicaView]) -> str:
    """Why there is not yet another ready replica: what the one nearest to it is doing."""
    trying = [replica for replica in replicas if replica.state in _NEAREST_READY]
    if trying:
        nearest = min(trying, key=lambda item: (_NEAREST_READY.index(item.state), item.created_at, item.id))
        return _doing(nearest)
    failed = [replica for replica in replicas if has_failed(replica)]
    if failed:
        return f"The last start failed: {last_failure(failed)}; it is tried again shortly"
    return "Waiting for a replica"


def _doing(replica: ReplicaView) -> str:
    where = f" on node {replica.node}" if replica.node else ""
    phase = replica.phase
    text = {
        ReplicaState.PENDING: replica.reason or "Waiting for a place",
        ReplicaState.ALLOCATED: f"Allocated{where}",
        ReplicaState.STARTING: f"Starting: {phase or 'engine start'}",
        ReplicaState.LOADING: f"Loading: {phase if phase and phase != 'loading' else 'engine start'}",
        ReplicaState.DEGRADED: f"Degraded: {replica.reason or 'the engine does not answer its health check'}",
        ReplicaState.LOST: f"Lost: node {replica.node} does not answer; a replacement is being made",
        ReplicaState.DRAINING: f"Stopping: {replica.fault or replica.reason or 'finishing requests'}",
    }[replica.state]
    if replica.troubled_at and replica.reason:
        text += f" (last try: {replica.reason})"
    elif replica.restarts and replica.state != ReplicaState.PENDING:
        times = "once" if replica.restarts == 1 else f"{replica.restarts} times"
        text += f" (restarted {times}{': ' + replica.reason if replica.reason else ''})"
    return text
