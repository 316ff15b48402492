"""Makes services what their users asked for: looks at runner and store, decides in `scheduler`, acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.node import NodeState
from aicp.core.registry import Registry
from aicp.core.replica import ENDED_REPLICA_STATES
from aicp.core.service import Condition
from aicp.engines.base import Engine
from aicp.reconcile.groups import NodeLook, group_change, is_group
from aicp.reconcile.loop import Failure
from aicp.reconcile.nodes import NODE_LEASE, has_fenced_itself
from aicp.reconcile.observation import Change, observed_change
from aicp.reconcile.service_acts import ServiceAction, ServiceActs
from aicp.reconcile.service_views import StoredServices, World, make_world
from aicp.reconcile.strays import NoteStray, StopStray, Strays
from aicp.runners.base import Runner, TellsReporters
from aicp.scheduler.service_world import Action, Create, Preempt, Promote, Remove, Report, RollBack, Start, Stay
from aicp.scheduler.services import decide
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.gateways import Gateways
from aicp.store.nodes import Nodes
from aicp.store.pools import Pools
from aicp.store.replicas import Replicas, StoredReplica
from aicp.store.reservations import Reservations
from aicp.store.revisions import Revisions
from aicp.store.routes import RouteStates
from aicp.store.services import Services


class ServiceReconciler:
    """The owner of every replica state and every service status."""

    name = "services"
    interval_seconds = 1.0
    bells: Sequence[str] = ("service", "replica", "node")

    def __init__(
        self,
        database: Database,
        runner: Runner,
        engines: Registry[Engine],
        clock: Clock,
        bell: Bell,
        *,
        lease: timedelta = NODE_LEASE,
        host: str | None = None,
    ) -> None:
        self._lease = lease
        self._database = database
        self._runner = runner
        self._clock = clock
        self._bell = bell
        self._owners: dict[str, str] = {}
        self._strays = Strays()
        self._acts = ServiceActs(database, runner, engines, clock, bell, host)

    async def observe(self) -> World:
        """Asks the runner, writes what changed, and answers the full truth."""
        seen = {replica.replica_id: replica for replica in await self._runner.observe()}
        stored = await self._read()
        if await self._write_observed(stored, seen):
            stored = await self._read()
        self._owners = {item.replica.id: item.service_id for item in stored.replicas}
        self._acts.names = {service.id: service.name for service in stored.services}
        now = self._clock.now()
        strays = self._strays.look(list(seen.values()), set(self._owners), stored.nodes, now)
        return replace(make_world(stored, now), strays=tuple(strays))

    def decide(self, world: World, now: datetime) -> Sequence[ServiceAction]:
        """See scheduler.services and reconcile.strays."""
        return [*decide(world.desired, world.actual, now), *world.strays]

    async def act(self, action: ServiceAction) -> None:
        """One step; done again it changes nothing."""
        await self._acts.act(action)
        if isinstance(action, NoteStray):
            self._strays.noted(action.replica_id)

    async def failed(self, action: ServiceAction | None, failure: Failure) -> None:
        """Writes the failure as a condition of the service it concerns, and as the reason of a start."""
        if action is None:
            self._strays.forget()
        if action is None or isinstance(action, NoteStray | StopStray):
            return
        now = self._clock.now()
        condition = Condition(
            type="Reconciled",
            status=False,
            reason=f"{type(action).__name__}Failed",
            message=f"{failure.message} (try {failure.attempts}, again at {failure.retry_at:%H:%M:%S})",
            at=now,
        )
        async with self._database.transaction() as tx:
            await Services(tx).set_condition(self._service_of(action), condition)
            if isinstance(action, Start):
                state = (await Replicas(tx).get(action.replica_id)).replica.state
                await Replicas(tx).transition(action.replica_id, state, now, reason=failure.message)
        self._bell.ring("service", self._acts.names.get(self._service_of(action), ""))

    async def recovered(self, action: ServiceAction | None) -> None:
        """Says that what failed went through."""
        if action is None or isinstance(action, NoteStray | StopStray):
            return
        condition = Condition(type="Reconciled", status=True, reason="Recovered", at=self._clock.now())
        async with self._database.transaction() as tx:
            await Services(tx).set_condition(self._service_of(action), condition)

    def _service_of(self, action: Action) -> str:
        if isinstance(action, Create | Preempt | Stay | Promote | RollBack | Report | Remove):
            return action.service_id
        return self._owners.get(action.replica_id, "")

    async def _read(self) -> StoredServices:
        async with self._database.snapshot() as tx:
            services = Services(tx)
            revisions = Revisions(tx)
            return StoredServices(
                services=await services.all(),
                deleted=await services.deleted(),
                revisions=await revisions.newest(),
                rolled_back=await revisions.rolled_back(),
                replicas=await Replicas(tx).current(),
                nodes=await Nodes(tx).all(),
                gateways=await Gateways(tx).live(self._clock.now()),
                route=await RouteStates(tx).current(),
                pools=await Pools(tx).list(),
                reservations=await Reservations(tx).list(self._clock.now()),
            )

    async def _write_observed(self, stored: StoredServices, seen: Mapping[str, ObservedReplica]) -> bool:
        answering = await self._answering(stored.replicas, seen)
        lost = {node.id for node in stored.nodes if node.state == NodeState.LOST}
        known = {node.id for node in stored.nodes}
        now = self._clock.now()
        fenced = {node.id for node in stored.nodes if node.id in lost and has_fenced_itself(node, self._lease, now)}
        told = self._runner.reporters() if isinstance(self._runner, TellsReporters) else answering
        nodes = NodeLook(reporting=frozenset(told), lost=lost, fenced=fenced, known=known)

        def change_of(item: StoredReplica) -> Change | None:
            report = seen.get(item.replica.id)
            if is_group(item, report):
                return group_change(item, report, nodes, now)
            return observed_change(
                item,
                report,
                answers=item.node_id in answering,
                lost=item.node_id in lost,
                removed=item.node_id is not None and item.node_id not in known,
                fenced=item.node_id in fenced,
                now=now,
            )

        changes = [(item, change) for item in stored.replicas if (change := change_of(item))]
        if not changes:
            return False
        async with self._database.transaction() as tx:
            for item, change in changes:
                await Replicas(tx).transition(item.replica.id, change.state, now, **change.values)
                await _note_change(tx, item, change.state, change.values, now)
        for item, _ in changes:
            self._bell.ring("replica", item.replica.id)
        return True

    async def _answering(self, replicas: Sequence[StoredReplica], seen: Mapping[str, ObservedReplica]) -> set[str]:
        """Nodes that answered. Asked only when a replica is missing from the report: then it matters why."""
        answering = {member.node_id for item in seen.values() for member in item.members}
        missing = {
            node_id
            for item in replicas
            for node_id in item.node_ids
            if item.replica.id not in seen and item.replica.state not in ENDED_REPLICA_STATES
        }
        if missing - answering:
            answering |= {status.node_id for status in await self._runner.nodes()}
        return answering


async def _note_change(
    tx: Transaction, item: StoredReplica, state: ReplicaState, values: Mapping[str, Any], now: datetime
) -> None:
    """Events that a user looks for afterwards: ready, failed, lost, restarted."""
    replica = item.replica
    what = None
    if state != replica.state and state in (ReplicaState.READY, ReplicaState.FAILED, ReplicaState.LOST):
        what = state.value
    elif values.get("restarts", replica.restarts) > replica.restarts:
        what = "restarted"
    if what is None:
        return
    reason = values.get("reason") or replica.reason or ""
    text = f"Replica {replica.id} of {replica.service} is {what}{': ' + reason if reason else ''}"
    await Events(tx).note(
        now,
        f"replica.{what}",
        "service",
        replica.service,
        text,
        project=item.project,
        severity="info" if what == "ready" else "warning",
        details={"replica": replica.id, "node": replica.node},
    )
