"""Services: publish, change, roll back, stop, delete. Writes what should be; the reconcile loop makes it so."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Protocol

from aicp.control.foreseen import with_preempted
from aicp.control.metrics import TRAFFIC_SORTS, service_traffic
from aicp.control.public_routes import require_free_of_routes
from aicp.control.service_plans import ServicePlans, require_fit, require_room, require_surge
from aicp.control.service_revisions import (
    asked_spec,
    describe_update,
    new_revision,
    require_own_number,
    require_priority,
    shape_of,
    update_difference,
)
from aicp.control.slice_changes import resized_revision
from aicp.core.access import Caller
from aicp.core.api_key import ApiKeyCreate, ApiKeyCreated
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.identity import Permission
from aicp.core.model import Visibility
from aicp.core.registry import Registry
from aicp.core.replica import Replica
from aicp.core.service import (
    Mode,
    Plan,
    Published,
    Service,
    ServiceCreate,
    ServiceRevision,
    ServiceSpec,
    ServiceState,
    ServiceTraffic,
    ServiceUpdate,
)
from aicp.core.value import Page
from aicp.engines.base import Engine
from aicp.planner.samples import change_texts, curl_sample, publish_texts, python_sample
from aicp.scheduler.placement import Requirement
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.models import Models
from aicp.store.projects import Projects
from aicp.store.replicas import Replicas
from aicp.store.revisions import (
    PENDING,
    READY,
    ROLLED_BACK,
    Revision,
    Revisions,
    copy_revision,
    rescaled_revision,
)
from aicp.store.services import Services as StoredServices

_TIMED = re.compile(r"^(Loading|Starting): [^(]*$")


class MakesKeys(Protocol):
    """Makes API keys; the use case of keys is one."""

    async def create(self, caller: Caller, wanted: ApiKeyCreate) -> ApiKeyCreated:
        """A new key with its secret."""
        ...


class Services:
    """Use cases over services. `gateway_url` is the base URL of the OpenAI-compatible API."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bell: Bell,
        engines: Registry[Engine],
        keys: MakesKeys,
        *,
        gateway_url: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._keys = keys
        self._gateway_url = gateway_url
        self._plans = ServicePlans(engines)

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        state: ServiceState | None = None,
        mode: Mode | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Service]:
        """Public services, and those of the caller's projects, with their traffic."""
        async with self._database.snapshot() as tx:
            traffic = await service_traffic(tx, self._clock.now())
            measure = TRAFFIC_SORTS.get(sort.removeprefix("-"))
            page = await StoredServices(tx).list(
                projects=caller.visible_projects(Permission.SERVICE_READ),
                project=project,
                state=state,
                mode=mode,
                search=search,
                sort=sort,
                ranks={name: getattr(found, measure) or 0 for name, found in traffic.items()} if measure else None,
                offset=offset,
                limit=limit,
            )
            since = await StoredServices(tx).since([service.id for service in page.items])
        shown = [self._shown(item, since[item.id], traffic.get(item.name, ServiceTraffic())) for item in page.items]
        return page.model_copy(update={"items": shown})

    async def get(self, caller: Caller, name: str) -> Service:
        """One service."""
        async with self._database.snapshot() as tx:
            service = await self._visible(tx, caller, name)
            since = await StoredServices(tx).since([service.id])
        return self._shown(service, since[service.id])

    async def plan(self, caller: Caller, body: ServiceCreate, *, rest_url: str) -> Plan:
        """What publishing `body` would run, and why; changes nothing. One that does not fit is answered too.
        The publish as code names the REST API at `rest_url`."""
        caller.require(Permission.SERVICE_READ, body.project)
        async with self._database.snapshot() as tx:
            proposal = await self._plans.propose(tx, caller, body.name, body.project, body.spec)
            plan = await with_preempted(tx, caller, proposal)
        return plan.model_copy(update=publish_texts(plan.name, body, rest_url))

    async def plan_change(self, caller: Caller, name: str, body: ServiceUpdate, *, rest_url: str) -> Plan:
        """What `update` would run, and why, with the change as code; changes nothing."""
        async with self._database.snapshot() as tx:
            service = await self._changeable(tx, caller, name)
            spec = asked_spec(body, service.spec)
            proposal = await self._plans.propose(tx, caller, name, service.project, spec)
            plan = await with_preempted(tx, caller, proposal)
        return plan.model_copy(update=change_texts(service, body, spec, rest_url))

    async def publish(self, caller: Caller, body: ServiceCreate) -> Published:
        """Publishes a model under a public name. Raises InvalidError with numbers when it does not fit."""
        caller.require(Permission.SERVICE_WRITE, body.project, what=f"Project {body.project!r}")
        if body.create_key:
            caller.require(Permission.KEY_WRITE, body.project)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await _require_project(tx, body.project)
            require_priority(caller, body.spec)
            proposal = await self._plans.propose(tx, caller, body.name, body.project, body.spec)
            plan = proposal.planned.plan
            await self._require_free(tx, plan.name)
            await require_free_of_routes(tx, plan.name, body.project, proposal.spec.visibility)
            require_fit(plan)
            plan = await with_preempted(tx, caller, proposal)
            services = StoredServices(tx)
            service_id = await services.create(
                plan.name, body.project, body.description, proposal.model.type, proposal.spec, now
            )
            await Revisions(tx).add(new_revision(service_id, 1, 1, proposal, caller.user), now)
            await Events(tx).audit(
                caller,
                now,
                "service.create",
                "service",
                plan.name,
                project=body.project,
                message=f"Published {plan.model}:{plan.version} on {plan.engine} {plan.engine_version}.",
                details={"spec": body.spec.model_dump(mode="json")},
            )
        self._bell.ring("service", plan.name)
        key = await self._key(caller, plan.name, body.project) if body.create_key else None
        return Published(
            service=await self.get(caller, plan.name),
            plan=plan,
            key=key.secret if key else None,
            key_id=key.key.id if key else None,
            curl=curl_sample(self._gateway_url, plan.name, proposal.model.type, key.secret if key else None),
            python=python_sample(self._gateway_url, plan.name, proposal.model.type, key.secret if key else None),
        )

    async def update(self, caller: Caller, name: str, body: ServiceUpdate) -> Service:
        """A new revision, another number of replicas, stop or start, another description."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            service = before = await self._changeable(tx, caller, name)
            current = (await Revisions(tx).newest(service.id))[service.id][0]
            require_own_number(service, body, current.spec)
            spec = asked_spec(body, current.spec)
            require_priority(caller, spec, current.spec.priority)
            revision = await self._next_revision(tx, caller, service, current, spec)
            if revision is not None or body.stopped not in (None, service.stopped):
                service = await self._advance(tx, service, revision, now, stopped=body.stopped)
            if body.description is not None:
                await StoredServices(tx).change(service, now, description=body.description)
            await Events(tx).audit(
                caller,
                now,
                "service.update",
                "service",
                name,
                project=service.project,
                message=describe_update(body, revision),
                details=update_difference(
                    current.spec, before, revision.spec if revision else current.spec, service, body
                ),
            )
        self._bell.ring("service", name)
        return await self.get(caller, name)

    async def rollback(self, caller: Caller, name: str, generation: int | None = None) -> Service:
        """Back to revision `generation`, or to the one before; an update under way is given up."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            service = await self._changeable(tx, caller, name)
            newest = (await Revisions(tx).newest(service.id))[service.id]
            if generation is None and newest[0].outcome == PENDING and any(item.outcome == READY for item in newest):
                reason = f"by {caller.user}"
                await Revisions(tx).settle(service.id, newest[0].template, ROLLED_BACK, reason)
                why = f"Revision {newest[0].generation} was rolled back: {reason}"
                revision = rescaled_revision(newest[1], newest[0], service.generation + 1, why)
                await self._advance(tx, service, revision, now)
                message = f"Gave up revision {newest[0].generation}."
            else:
                target = await self._target(tx, service, newest, generation)
                number = service.generation + 1
                scaling = {"replicas": newest[0].spec.replicas, "autoscale": newest[0].spec.autoscale}
                spec = target.spec.model_copy(update=scaling)
                revision = copy_revision(target, number, number, spec, caller.user, PENDING)
                await require_room(tx, service.project, name, revision.requirement, spec.replicas, spec.priority)
                await _require_way(tx, service, revision.requirement)
                await self._advance(tx, service, revision, now)
                message = f"Back to revision {target.generation}, as revision {number}."
            await Events(tx).audit(
                caller, now, "service.rollback", "service", name, project=service.project, message=message
            )
        self._bell.ring("service", name)
        return await self.get(caller, name)

    async def delete(self, caller: Caller, name: str) -> None:
        """Replicas finish their requests and stop, then the service is gone; logs stay. Again is success."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            service = await self._visible(tx, caller, name)
            caller.require(Permission.SERVICE_WRITE, service.project, what=f"Service {name!r}")
            if service.id in await StoredServices(tx).deleted():
                return
            await StoredServices(tx).change(service, now, deleted=True)
            await Events(tx).audit(caller, now, "service.delete", "service", name, project=service.project)
        self._bell.ring("service", name)

    async def revisions(self, caller: Caller, name: str, *, offset: int, limit: int) -> Page[ServiceRevision]:
        """History, newest first."""
        async with self._database.snapshot() as tx:
            service = await self._visible(tx, caller, name)
            return await Revisions(tx).list(service.id, offset=offset, limit=limit)

    async def replicas(self, caller: Caller, name: str, *, offset: int, limit: int) -> Page[Replica]:
        """Running and ended replicas, newest first."""
        async with self._database.snapshot() as tx:
            await self._visible(tx, caller, name)
            return await Replicas(tx).list(service=name, offset=offset, limit=limit)

    async def _next_revision(
        self, tx: Transaction, caller: Caller, service: Service, current: Revision, spec: ServiceSpec
    ) -> Revision | None:
        """The revision that `spec` makes; None when it changes nothing. Replicas restart only when they must."""
        _, version = await self._plans.resolve(tx, caller, spec)
        number = service.generation + 1
        same = shape_of(spec) == shape_of(current.spec) and version.id == current.version.id
        if same and spec.compute.slice != current.spec.compute.slice:
            resized = await resized_revision(tx, service, current, spec, caller.user)
            if resized is not None:
                return resized
        elif same:
            if spec == current.spec:
                return None
            if spec.replicas > current.spec.replicas:
                await require_room(tx, service.project, service.name, current.requirement, spec.replicas, spec.priority)
            return copy_revision(current, number, current.template, spec, caller.user, current.outcome)
        proposal = await self._plans.propose(tx, caller, service.name, service.project, spec)
        if proposal.model.type != service.type:
            raise InvalidError(
                f"{service.name} serves a model of type {service.type}; {spec.model} is of type {proposal.model.type}.",
                hint="Callers of this name would meet other endpoints. Publish the model under a name of its own.",
            )
        require_fit(proposal.planned.plan)
        await _require_way(tx, service, proposal.planned.requirement)
        return new_revision(service.id, number, number, proposal, caller.user)

    async def _advance(
        self,
        tx: Transaction,
        service: Service,
        revision: Revision | None,
        now: datetime,
        *,
        stopped: bool | None = None,
    ) -> Service:
        """The next generation of intent. Stopping, starting and giving up need no revision of their own."""
        spec = revision.spec if revision else service.spec
        number = await StoredServices(tx).advance(service, now, spec=spec, stopped=stopped)
        if revision is not None:
            await Revisions(tx).add(revision, now)
            if revision.outcome == READY:
                await StoredServices(tx).set_serving(service.id, revision.generation)
        return service.model_copy(update={"generation": number})

    async def _target(
        self, tx: Transaction, service: Service, newest: list[Revision], generation: int | None
    ) -> Revision:
        if generation is not None:
            target = await Revisions(tx).get(service.id, generation)
        elif len(newest) > 1:
            target = newest[1]
        else:
            raise ConflictError(f"{service.name} has no earlier revision to go back to.")
        await Models(tx).version(target.version.model, target.version.version)
        return target

    async def _visible(self, tx: Transaction, caller: Caller, name: str) -> Service:
        service = await StoredServices(tx).get(name)
        public = service.spec.visibility == Visibility.PUBLIC and caller.may(Permission.SERVICE_READ)
        if not public and not caller.may(Permission.SERVICE_READ, service.project):
            raise NotFoundError(f"There is no service {name!r}.")
        return service

    async def _changeable(self, tx: Transaction, caller: Caller, name: str) -> Service:
        service = await self._visible(tx, caller, name)
        caller.require(Permission.SERVICE_WRITE, service.project, what=f"Service {name!r}")
        if service.id in await StoredServices(tx).deleted():
            raise ConflictError(f"Service {name!r} is being deleted.")
        return service

    async def _require_free(self, tx: Transaction, name: str) -> None:
        taken = await StoredServices(tx).find(name)
        if taken is None:
            return
        if taken.id in await StoredServices(tx).deleted():
            raise ConflictError(
                f"The service {name!r} that was deleted is still stopping.", hint="Try again in a few seconds."
            )
        raise ConflictError(
            f"There is a service {name!r} already.",
            hint=f"Choose another name, or change it with `aicp service update {name}`.",
            details={"fields": {"name": f"There is a service {name!r} already."}},
        )

    async def _key(self, caller: Caller, name: str, project: str) -> ApiKeyCreated:
        return await self._keys.create(caller, ApiKeyCreate(name=f"{name}", project=project, models=[name]))

    def _shown(self, service: Service, since: datetime, traffic: ServiceTraffic | None = None) -> Service:
        """With its address; the reason of a start that is under way says how long it takes already."""
        reason = service.reason
        if service.state == ServiceState.STARTING and _TIMED.match(reason):
            reason = f"{reason} {(self._clock.now() - since).total_seconds():.0f} s"
        return service.model_copy(update={"address": self._gateway_url, "reason": reason, "traffic": traffic})


async def _require_way(tx: Transaction, service: Service, need: Requirement) -> None:
    """Raises ConflictError when the only replica would have to go on serving beside one that finds no room."""
    if service.replicas_ready == 1 and not service.stopped:
        await require_surge(tx, service.name, need)


async def _require_project(tx: Transaction, name: str) -> None:
    if await Projects(tx).find(name) is None:
        raise NotFoundError(f"There is no project {name!r}.", hint="`aicp project list` shows those that exist.")
