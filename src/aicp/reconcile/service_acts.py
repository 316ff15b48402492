"""The steps that the loop about services takes, each safe to repeat."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import UnavailableError
from aicp.core.launch import ReplicaResize, ReplicaState
from aicp.core.registry import Registry
from aicp.core.service import Condition, ServiceState
from aicp.engines.base import Engine
from aicp.reconcile.launches import build_launch, choose_group_port, group_seats, model_sources
from aicp.reconcile.strays import NoteStray, StopStray, StrayAction
from aicp.runners.base import Resizes, Runner
from aicp.scheduler.service_world import (
    Action,
    Create,
    Drain,
    Place,
    Preempt,
    Promote,
    Remove,
    Report,
    Resize,
    RollBack,
    Start,
    Stay,
    Stop,
    Wait,
)
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.nodes import Nodes
from aicp.store.replicas import Replicas
from aicp.store.revisions import READY, ROLLED_BACK, Revisions, rescaled_revision
from aicp.store.services import Services

STOP_GRACE_SECONDS = 10.0
ServiceAction = Action | StrayAction
_PREEMPTION = {"Preempted", "Preempts"}
"""Conditions that are over when a service is ready again."""


class ServiceActs:
    """Executes decisions. `names` maps the ids of services to their names, as last observed; `host` is the address of
    the platform's own machine that other nodes reach."""

    def __init__(
        self,
        database: Database,
        runner: Runner,
        engines: Registry[Engine],
        clock: Clock,
        bell: Bell,
        host: str | None = None,
    ) -> None:
        self._host = host
        self._database = database
        self._runner = runner
        self._engines = engines
        self._clock = clock
        self._bell = bell
        self.names: dict[str, str] = {}

    async def act(self, action: ServiceAction) -> None:
        """One step; done again it changes nothing."""
        match action:
            case Promote():
                await self._promote(action)
            case RollBack():
                await self._roll_back(action)
            case Report():
                await self._report(action)
            case Remove():
                await self._remove(action)
            case Create():
                await self._create(action)
            case Preempt():
                await self._preempt(action)
            case Stay():
                await self._stay(action)
            case NoteStray() | StopStray():
                await self._act_on_stray(action)
            case _:
                await self._act_on_replica(action)

    async def _act_on_replica(self, action: Place | Wait | Start | Resize | Drain | Stop) -> None:
        match action:
            case Place():
                await self._place(action)
            case Wait():
                await self._move(action.replica_id, ReplicaState.PENDING, reason=action.reason)
            case Start():
                await self._start(action)
            case Resize():
                await self._resize(action)
            case Drain():
                fault = action.reason if action.fault else None
                changes = {"reason": action.reason, "fault": fault, "phase": None}
                await self._move(action.replica_id, ReplicaState.DRAINING, **changes)
            case Stop():
                await self._stop(action)

    async def _create(self, action: Create) -> None:
        name = self.names[action.service_id]
        async with self._database.transaction() as tx:
            service = await Services(tx).get(name)
            await Replicas(tx).create(service.id, name, service.project, action.template, self._clock.now())
        self._bell.ring("service", name)

    async def _place(self, action: Place) -> None:
        async with self._database.transaction() as tx:
            replicas, followers = Replicas(tx), [(one.allocation, one.node) for one in action.followers]
            port = choose_group_port(action.replica_id, await replicas.group_ports()) if followers else None
            bound = (action.replica_id, action.allocation, action.node, self._clock.now())
            await replicas.place(*bound, followers=followers, group_port=port)
        self._bell.ring("replica", action.replica_id)

    async def _start(self, action: Start) -> None:
        async with self._database.snapshot() as tx:
            item = await Replicas(tx).get(action.replica_id)
            revision = await Revisions(tx).get(item.service_id, item.replica.generation)
            nodes = await Nodes(tx).all()
        replica = item.replica
        if replica.allocation is None:
            raise UnavailableError(f"Replica {replica.id} has no allocation yet.")
        engine, given = self._engines.get(revision.plan.engine), replica.allocations
        digest = revision.version.digest
        sources = [model_sources(nodes, replica.id, digest, allocation.node_id) for allocation in given]
        seats = group_seats(item, nodes, self._host)
        launch = build_launch(replica.id, replica.service, revision, given, engine, sources, seats)
        await self._runner.start(launch)
        state = ReplicaState.STARTING if replica.state == ReplicaState.ALLOCATED else replica.state
        await self._move(action.replica_id, state, running=True, reason=None)

    async def _resize(self, action: Resize) -> None:
        """First on the node: done by half, the next pass finds the old allocation and does it again."""
        if not isinstance(self._runner, Resizes):
            raise UnavailableError("This runner cannot change a running replica.", hint="Publish the service anew.")
        await self._runner.resize(
            ReplicaResize(replica_id=action.replica_id, generation=action.generation, allocation=action.allocation)
        )
        async with self._database.transaction() as tx:
            await Replicas(tx).resize(action.replica_id, action.allocation)
        self._bell.ring("replica", action.replica_id)

    async def _stop(self, action: Stop) -> None:
        async with self._database.snapshot() as tx:
            replica = (await Replicas(tx).get(action.replica_id)).replica
        if replica.state == ReplicaState.PENDING:
            await self._move(replica.id, ReplicaState.STOPPED)
        else:
            await self._runner.stop(replica.id, replica.generation, STOP_GRACE_SECONDS)

    async def _act_on_stray(self, action: StrayAction) -> None:
        text = f"Replica {action.replica_id} runs on node {action.node} and is not in the database"
        if isinstance(action, StopStray):
            await self._runner.stop(action.replica_id, action.generation, STOP_GRACE_SECONDS)
            what, text = "replica.unknown_stopped", f"{text}; it was stopped."
        else:
            what = "replica.unknown"
            text += (
                f". Was an older copy of the database brought back? It is stopped at {action.stop_at:%H:%M:%S} UTC "
                "unless a database that knows it is in place by then."
            )
        async with self._database.transaction() as tx:
            await Events(tx).note(self._clock.now(), what, "replica", action.replica_id, text, severity="warning")

    async def _preempt(self, action: Preempt) -> None:
        """Ends a replica for a more important one, and tells both services in the same step."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            moved = await Replicas(tx).transition(
                action.replica_id, ReplicaState.DRAINING, now, reason=action.reason, fault=None, phase=None
            )
            if moved:
                told = (
                    (action.service_id, "Preempted", action.reason),
                    (action.winner_id, "Preempts", action.winner_reason),
                )
                for service_id, kind, text in told:
                    service = await Services(tx).get(self.names[service_id])
                    condition = Condition(type=kind, status=True, reason=action.cause, message=text, at=now)
                    await Services(tx).set_condition(service_id, condition)
                    what = f"service.{kind.lower()}"
                    await Events(tx).note(
                        now, what, "service", service.name, text, project=service.project, severity="warning"
                    )
        self._bell.ring("replica", action.replica_id)

    async def _stay(self, action: Stay) -> None:
        """Gives a move up, and says why."""
        name = self.names[action.service_id]
        async with self._database.transaction() as tx:
            if await Replicas(tx).move(action.replica_id, None, None):
                project = (await Services(tx).get(name)).project
                replica, reason = action.replica_id, action.reason
                text = f"Replica {replica} of {name} stays where it is: {reason}."
                await Events(tx).note(
                    self._clock.now(), "service.stays", "service", name, text, project=project, severity="warning"
                )
        self._bell.ring("replica", action.replica_id)

    async def _promote(self, action: Promote) -> None:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            generation = await Revisions(tx).settle(action.service_id, action.template, READY)
            if generation is not None:
                await Services(tx).set_serving(action.service_id, generation)
                name = self.names[action.service_id]
                await Events(tx).note(now, "service.serving", "service", name, f"Revision {generation} is ready.")
        self._bell.ring("service", self.names[action.service_id])

    async def _roll_back(self, action: RollBack) -> None:
        now = self._clock.now()
        name = self.names[action.service_id]
        async with self._database.transaction() as tx:
            given_up = await Revisions(tx).settle(action.service_id, action.template, ROLLED_BACK, action.reason)
            if given_up is not None:
                await self._keep_scaling(tx, action, given_up, now)
            text = f"Revision {action.template} was rolled back to {action.fallback}: {action.reason}."
            await Services(tx).set_condition(
                action.service_id, Condition(type="Updated", status=False, reason="RolledBack", message=text, at=now)
            )
            await Events(tx).note(now, "service.rolled_back", "service", name, text, severity="error")
        self._bell.ring("service", name)

    async def _keep_scaling(self, tx: Transaction, action: RollBack, given_up: int, now: datetime) -> None:
        """How many replicas are wanted belongs to the service as it is now, not to the template that failed."""
        revisions, services = Revisions(tx), Services(tx)
        service = await services.get(self.names[action.service_id])
        current = (await revisions.newest(service.id))[service.id][0]
        last = await revisions.get(service.id, given_up)
        why = f"Revision {given_up} was rolled back: {action.reason}"
        revision = rescaled_revision(current, last, service.generation + 1, why)
        if revision is None:
            return
        await services.advance(service, now, spec=revision.spec)
        await revisions.add(revision, now)
        if revision.outcome == READY:
            await services.set_serving(service.id, revision.generation)

    async def _report(self, action: Report) -> None:
        now = self._clock.now()
        status = action.status
        name = self.names[action.service_id]
        async with self._database.transaction() as tx:
            service = await Services(tx).get(name)
            ready = Condition(
                type="Ready",
                status=status.state == ServiceState.READY,
                reason=status.state.value.capitalize(),
                message=status.reason,
                at=now,
            )
            over = {ready.type} | (_PREEMPTION if ready.status else set())
            others = [item for item in service.conditions if item.type not in over]
            await Services(tx).report(
                action.service_id,
                now,
                state=status.state,
                reason=status.reason,
                ready=status.ready,
                wanted=status.wanted,
                observed_generation=status.observed_generation,
                conditions=[*others, ready],
            )
            if status.state != service.state and status.state in (ServiceState.READY, ServiceState.FAILED):
                await Events(tx).note(
                    now,
                    f"service.{status.state}",
                    "service",
                    name,
                    status.reason or f"{name} is {status.state}.",
                    project=service.project,
                    severity="error" if status.state == ServiceState.FAILED else "info",
                )
        self._bell.ring("service", name)

    async def _remove(self, action: Remove) -> None:
        name = self.names[action.service_id]
        async with self._database.transaction() as tx:
            await Services(tx).remove(action.service_id)
            await Events(tx).note(self._clock.now(), "service.removed", "service", name, f"{name} is gone.")
        self._bell.ring("service", name)

    async def _move(self, replica_id: str, state: ReplicaState, **changes: Any) -> None:
        async with self._database.transaction() as tx:
            await Replicas(tx).transition(replica_id, state, self._clock.now(), **changes)
        self._bell.ring("replica", replica_id)
