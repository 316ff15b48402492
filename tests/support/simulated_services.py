"""A small world that executes the decisions about services: a store and a runner of plain values, with faults."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from aicp.core.launch import ReplicaState
from aicp.core.replica import check_replica_transition
from aicp.scheduler.placement import Commitment, NodeCapacity, Snapshot
from aicp.scheduler.quotas import Quotas
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
    RollBack,
    Start,
    Stop,
    Wait,
)
from aicp.scheduler.services import decide

START = datetime(2026, 1, 1, tzinfo=UTC)
_HELD = {ReplicaState.ALLOCATED, ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.READY}
_HELD |= {ReplicaState.DEGRADED, ReplicaState.DRAINING, ReplicaState.LOST}


@dataclass
class SimulatedServices:
    """Desired services, replicas and nodes.

    `broken` templates never become ready; every `fail_every`-th action is refused.
    """

    desired: dict[str, Desired] = field(default_factory=dict)
    replicas: dict[str, ReplicaView] = field(default_factory=dict)
    nodes: tuple[NodeCapacity, ...] = ()
    broken: set[tuple[str, int]] = field(default_factory=set)
    draining: set[str] = field(default_factory=set)
    fail_every: int = 0
    now: datetime = START
    quotas: Quotas = field(default_factory=Quotas)
    attempts: int = 0
    made: int = 0
    lowest_ready: dict[str, int] = field(default_factory=dict)

    def actual(self) -> Actual:
        held = tuple(
            Commitment(item.id, item.service, given)
            for item in self.replicas.values()
            if item.allocation is not None and item.state in _HELD
            for given in (item.allocation, *item.followers)
        )
        nodes = tuple(
            replace(node, unschedulable="it is being drained") if node.id in self.draining else node
            for node in self.nodes
        )
        views = tuple(
            replace(item, moving=item.allocation is not None and item.allocation.node_id in self.draining)
            for item in self.replicas.values()
        )
        return Actual(views, Snapshot(nodes, held), self.quotas)

    def pass_once(self) -> list[Action]:
        """Observe, decide, act."""
        self._progress()
        actions = decide(list(self.desired.values()), self.actual(), self.now)
        for action in actions:
            self.attempts += 1
            if self.fail_every and self.attempts % self.fail_every == 0:
                continue
            self.act(action)
        self.now += timedelta(seconds=1)
        for service in self.desired.values():
            ready = self.ready(service.service_id)
            self.lowest_ready[service.service_id] = min(self.lowest_ready.get(service.service_id, 10**6), ready)
        return actions

    def settle(self, passes: int = 400) -> list[Action]:
        """Passes until nothing was decided for longer than any back-off; the last decision when that never happens."""
        actions: list[Action] = []
        quiet = 0
        for _ in range(passes):
            actions = self.pass_once()
            if actions or self._moving():
                quiet = 0
                continue
            quiet += 1
            self.now += timedelta(seconds=30)
            if quiet > 11:
                return []
        return actions

    def _moving(self) -> bool:
        busy = {ReplicaState.STARTING, ReplicaState.LOADING}
        return any(
            (item.running and item.state in busy) or item.state == ReplicaState.DRAINING
            for item in self.replicas.values()
        )

    def ready(self, service_id: str, template: int | None = None) -> int:
        return sum(
            item.state == ReplicaState.READY
            for item in self.replicas.values()
            if item.service_id == service_id and template in (None, item.generation)
        )

    def live(self, service_id: str) -> list[ReplicaView]:
        ended = {ReplicaState.STOPPED, ReplicaState.FAILED}
        return [r for r in self.replicas.values() if r.service_id == service_id and r.state not in ended]

    def move(self, replica_id: str, state: ReplicaState, **changes: object) -> None:
        """The only way to change a replica's state, checked as in the store."""
        replica = self.replicas[replica_id]
        if replica.state != state:
            check_replica_transition(replica.state, state)
        self.replicas[replica_id] = replace(replica, state=state, **changes)

    def _progress(self) -> None:
        for replica in list(self.replicas.values()):
            if not replica.running:
                if replica.state == ReplicaState.DRAINING:
                    end = ReplicaState.FAILED if replica.fault else ReplicaState.STOPPED
                    self.move(replica.id, end, ended_at=self.now)
                continue
            self._progress_running(replica)

    def _progress_running(self, replica: ReplicaView) -> None:
        if replica.state == ReplicaState.STARTING:
            self.move(replica.id, ReplicaState.LOADING, loading_at=replica.loading_at or self.now)
        elif replica.state == ReplicaState.LOADING:
            if (replica.service_id, replica.generation) in self.broken:
                self.move(replica.id, ReplicaState.FAILED, running=False, ended_at=self.now, reason="exit 1")
            else:
                self.move(replica.id, ReplicaState.READY, ready_at=replica.ready_at or self.now)
        elif replica.state == ReplicaState.DEGRADED:
            self.move(replica.id, ReplicaState.READY, ready_at=replica.ready_at or self.now)
        elif replica.state == ReplicaState.DRAINING:
            self.replicas[replica.id] = replace(replica, drained=True)

    def act(self, action: Action) -> None:
        match action:
            case Promote():
                self._change(action.service_id, promoted=True, fallback=None)
            case RollBack():
                note = f"Revision {action.template} was rolled back: {action.reason}"
                self._change(action.service_id, template=action.fallback, promoted=True, fallback=None, note=note)
            case Report():
                self._change(action.service_id, status=action.status)
            case Remove():
                del self.desired[action.service_id]
            case _:
                self._act_on_replica(action)

    def _act_on_replica(self, action: Action) -> None:
        match action:
            case Create():
                self.made += 1
                service = self.desired[action.service_id]
                identity = f"rep_{self.made:04}"
                self.replicas[identity] = ReplicaView(
                    identity, service.service_id, service.name, action.template, ReplicaState.PENDING, self.now
                )
            case Place():
                others = tuple(member.allocation for member in action.followers)
                place = {"allocation": action.allocation, "node": action.node, "followers": others}
                self.move(action.replica_id, ReplicaState.ALLOCATED, **place)
            case Wait():
                self.replicas[action.replica_id] = replace(self.replicas[action.replica_id], reason=action.reason)
            case Start():
                self.move(action.replica_id, ReplicaState.STARTING, running=True)
            case Drain():
                fault = action.reason if action.fault else None
                self.move(action.replica_id, ReplicaState.DRAINING, reason=action.reason, fault=fault)
            case Preempt():
                self.move(action.replica_id, ReplicaState.DRAINING, reason=action.reason, fault=None)
            case Stop():
                self._stop(self.replicas[action.replica_id])
            case _:
                raise AssertionError(f"unknown action {action}")

    def _stop(self, replica: ReplicaView) -> None:
        if replica.state == ReplicaState.PENDING:
            self.move(replica.id, ReplicaState.STOPPED, ended_at=self.now)
        else:
            self.replicas[replica.id] = replace(replica, running=False)

    def _change(self, service_id: str, **changes: object) -> None:
        self.desired[service_id] = replace(self.desired[service_id], **changes)
