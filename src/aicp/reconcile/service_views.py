"""From what the store knows to what decisions about services are made on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from aicp.core.gateway import GatewayStatus
from aicp.core.launch import ReplicaState
from aicp.core.node import Node
from aicp.core.service import Service, ServiceSpec
from aicp.reconcile.strays import StrayAction
from aicp.scheduler.moving import MOVE_TIME
from aicp.scheduler.reservations import with_reservations
from aicp.scheduler.service_world import Actual, Desired, ReplicaView, Status
from aicp.store.pools import PoolIntent, closed_pools, make_snapshot, pool_policies, pool_quotas, with_priorities
from aicp.store.replicas import CHARGED, StoredReplica
from aicp.store.reservations import StoredReservation, for_scheduler, reserved_devices
from aicp.store.revisions import READY, Revision

_START_TIMEOUT_SECONDS = 1800.0
"""Last resort over all tries of one replica; the node ends a single start that hangs much earlier."""
_DEFAULT_DRAIN_SECONDS = 60.0
_MOVES = "it goes on with another accelerator, so that its own becomes free"
_ASLEEP = "Nobody uses it now; the next request wakes it"


@dataclass(frozen=True, slots=True)
class World:
    """One observation."""

    desired: tuple[Desired, ...] = ()
    actual: Actual = field(default_factory=Actual)
    strays: tuple[StrayAction, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredServices:
    """All that the store knows, read at one moment."""

    services: list[Service]
    deleted: set[str]
    revisions: dict[str, list[Revision]]
    rolled_back: dict[str, tuple[int, str]]
    replicas: list[StoredReplica]
    nodes: list[Node]
    gateways: list[GatewayStatus]
    route: tuple[str, frozenset[str]] | None
    pools: list[PoolIntent]
    reservations: list[StoredReservation] = field(default_factory=list[StoredReservation])


def make_world(stored: StoredServices, now: datetime) -> World:
    """What should be and what is."""
    drain = {service.id: service.spec.drain_seconds for service in stored.services}
    leaving = {node.id for node in stored.nodes if node.draining}
    reserved = reserved_devices(stored.reservations, now)
    views = tuple(
        _view(
            item,
            drained=_drained(item, stored, now, drain.get(item.service_id, _DEFAULT_DRAIN_SECONDS)),
            moving=_why_moving(item, leaving, reserved, now),
            overdue=item.moving_until is not None and item.moving_to is not None and now >= item.moving_until,
        )
        for item in stored.replicas
    )
    charged = [item for item in stored.replicas if item.replica.state in CHARGED and item.replica.allocation]
    desired = tuple(_desired(service, stored) for service in stored.services if service.id in stored.revisions)
    snapshot = make_snapshot(stored.nodes, charged, closed_pools(stored.pools, now), pool_policies(stored.pools))
    snapshot = with_priorities(snapshot, stored.services)
    snapshot = with_reservations(snapshot, for_scheduler(stored.reservations), now)
    return World(desired, Actual(views, snapshot, pool_quotas(stored.pools, stored.services)))


def _desired(service: Service, stored: StoredServices) -> Desired:
    revisions = stored.revisions[service.id]
    newest = revisions[0]
    promoted = newest.outcome == READY
    older = (item.template for item in revisions[1:] if item.outcome == READY and item.template != newest.template)
    deleted = service.id in stored.deleted
    wanted = _wanted(newest.spec, service)
    undone = stored.rolled_back.get(service.id)
    note = newest.outcome_reason
    if undone is not None and undone[0] > newest.generation:
        note = f"Revision {undone[0]} was rolled back: {undone[1]}"
    return Desired(
        service_id=service.id,
        name=service.name,
        generation=service.generation,
        template=newest.template,
        replicas=0 if deleted or service.stopped else wanted,
        requirement=replace(newest.requirement, project=service.project, priority=newest.spec.priority),
        preemptible=newest.spec.preemptible,
        promoted=promoted,
        fallback=None if promoted else next(older, None),
        deleted=deleted,
        note=note,
        asleep=_ASLEEP if newest.spec.autoscale and wanted == 0 and not service.stopped else None,
        start_timeout_seconds=_START_TIMEOUT_SECONDS,
        project=service.project,
        status=Status(
            service.state,
            service.reason,
            service.replicas_ready,
            service.replicas_wanted,
            service.observed_generation,
        ),
    )


def _wanted(spec: ServiceSpec, service: Service) -> int:
    """How many replicas the user asks for, or autoscaling where that is on."""
    if spec.autoscale is None:
        return spec.replicas
    return spec.autoscale.first(spec.replicas) if service.scale is None else service.scale.wanted


def _view(item: StoredReplica, *, drained: bool, moving: str | None, overdue: bool) -> ReplicaView:
    replica = item.replica
    return ReplicaView(
        id=replica.id,
        service_id=item.service_id,
        service=replica.service,
        generation=replica.generation,
        state=replica.state,
        created_at=replica.created_at,
        reason=replica.reason,
        phase=replica.phase,
        allocation=replica.allocation,
        followers=tuple(replica.allocations[1:]),
        bereft=bool(replica.members) and replica.state == ReplicaState.LOST,
        node=replica.node,
        restarts=replica.restarts,
        running=item.running,
        drained=drained,
        moving=moving is not None,
        moving_why=moving or "",
        target=item.moving_to if moving == _MOVES else None,
        moved_at=None if item.moving_until is None else item.moving_until - MOVE_TIME,
        overdue=overdue,
        fault=item.fault,
        troubled_at=item.troubled_at,
        loading_at=item.loading_at,
        ready_at=replica.ready_at,
        ended_at=replica.ended_at,
    )


def _why_moving(
    item: StoredReplica, leaving: set[str], reserved: Mapping[tuple[str, str, str], str], now: datetime
) -> str | None:
    """Why a replica is to go on elsewhere; None where it is not. It serves until its successor does."""
    given = item.replica.allocations
    if not item.node_ids.isdisjoint(leaving):
        return "one of its nodes is being drained" if len(given) > 1 else f"node {item.replica.node} is being drained"
    for key in ((one.node_id, share.vendor, share.device_id) for one in given for share in one.devices):
        project = reserved.get(key)
        if project not in (None, item.project):
            return f"its accelerator is reserved for project {project}"
    if item.moving_to is not None and item.moving_until is not None and now < item.moving_until:
        return _MOVES
    return None


def _drained(item: StoredReplica, stored: StoredServices, now: datetime, drain_seconds: float) -> bool:
    """Whether a draining replica may be stopped: every live gateway has a table without it and waits for nothing of
    it, or its time is over. One that never served has nothing to drain."""
    if item.replica.state != ReplicaState.DRAINING or item.draining_at is None:
        return False
    if item.fault is not None and item.replica.members:
        return True  # a member is gone: what the others still compute is never answered
    if item.replica.ready_at is None or now - item.draining_at >= timedelta(seconds=drain_seconds):
        return True
    if not stored.gateways:
        return True
    if stored.route is None or item.replica.id in stored.route[1]:
        return False
    etag = stored.route[0]
    return all(gateway.etag == etag and not gateway.inflight.get(item.replica.id, 0) for gateway in stored.gateways)
