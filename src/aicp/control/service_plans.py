"""Plans made on what the store knows now, and the checks that a publish or a change must pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from aicp.core.access import Caller
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.identity import Permission
from aicp.core.launch import Allocation
from aicp.core.model import Model, ModelVersion, Visibility
from aicp.core.registry import Registry
from aicp.core.service import Fit, Plan, ServiceSpec
from aicp.engines.base import Engine
from aicp.planner.plan import Planned, PlanRequest, make_plan
from aicp.scheduler.gang import place_replica, relief
from aicp.scheduler.placement import Commitment, Refusal, Requirement, Snapshot
from aicp.scheduler.quotas import Quotas
from aicp.store.database import Transaction
from aicp.store.models import Models
from aicp.store.nodes import Nodes
from aicp.store.pools import Pools, pool_quotas, with_priorities
from aicp.store.services import Services

_LARGER = "fewer or smaller replicas, another pool, or a larger quota from a platform admin"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A spec with everything resolved."""

    project: str
    spec: ServiceSpec
    model: Model
    version: ModelVersion
    planned: Planned


class ServicePlans:
    """Makes proposals."""

    def __init__(self, engines: Registry[Engine]) -> None:
        self._engines = engines

    async def propose(
        self, tx: Transaction, caller: Caller, name: str | None, project: str, spec: ServiceSpec
    ) -> Proposal:
        """What `spec` would run; memory that the service itself holds counts as free.

        Raises NotFoundError for an unknown model or pool, InvalidError when no engine can serve it.
        """
        model, version = await self.resolve(tx, caller, spec)
        spec = _with_visibility(spec, model, project)
        await Pools(tx).get(spec.pool)
        snapshot = await Pools(tx).snapshot()
        engines = {engine: self._engines.get(engine) for engine in self._engines.names()}
        request = PlanRequest(name or model.name, spec, model, version)
        own = request.name
        gives_way = await _gives_way(tx, project, spec.pool, snapshot, {own} | await _weaker(tx, spec.priority))
        planned = make_plan(request, await Nodes(tx).all(spec.pool), snapshot.without(gives_way), engines)
        over = await _over_quota(tx, project, own, planned.requirement, spec.replicas, gives_way)
        if over and planned.plan.fit.fits:
            fit = Fit(fits=False, reason=f"{over}.", suggestions=[_LARGER])
            planned = replace(planned, plan=planned.plan.model_copy(update={"fit": fit}))
        return Proposal(project, spec, model, version, planned)

    async def resolve(self, tx: Transaction, caller: Caller, spec: ServiceSpec) -> tuple[Model, ModelVersion]:
        """The model and version that `spec.model` stands for now; hidden models are not found."""
        model, version = await Models(tx).resolve(spec.model)
        if model.visibility == Visibility.PROJECT and not caller.may(Permission.MODEL_READ, model.project):
            raise NotFoundError(f"There is no model {spec.model!r}.")
        return model, version


def _with_visibility(spec: ServiceSpec, model: Model, project: str) -> ServiceSpec:
    """A project's own model is published for that project only, whatever else was asked."""
    if model.visibility != Visibility.PROJECT:
        return spec
    if model.project != project:
        raise InvalidError(
            f"Model {model.name!r} belongs to project {model.project!r} and cannot be published in {project!r}.",
            hint="Publish it in its own project, or make the model public.",
        )
    return spec.model_copy(update={"visibility": Visibility.PROJECT})


def require_fit(plan: Plan) -> None:
    """Raises InvalidError with the numbers and what would fit instead."""
    if plan.fit.fits:
        return
    raise InvalidError(
        f"{plan.name} does not fit: {plan.fit.reason}",
        hint=f"Try: {'; '.join(plan.fit.suggestions)}." if plan.fit.suggestions else None,
        code="does_not_fit",
        details={"fit": plan.fit.model_dump(mode="json"), "memory": [part.model_dump() for part in plan.memory]},
    )


async def _weaker(tx: Transaction, priority: int) -> set[str]:
    """Services whose replicas make room for one of that priority."""
    found = await Services(tx).all()
    return {item.name for item in found if item.spec.preemptible and item.spec.priority < priority}


async def _gives_way(
    tx: Transaction, project: str, pool: str, snapshot: Snapshot, freed: set[str]
) -> Callable[[Commitment], bool]:
    """Picks what makes room for a service of `project`: services in `freed`, and what runs on quota that it lent."""
    snapshot = with_priorities(snapshot, await Services(tx).all())
    ways = (await quotas_of(tx, pool)).reclaimable(pool, project, snapshot)
    # The last way reaches into what is the borrowers' own: enough to find a place at times, never to promise one.
    return lambda item: item.service in freed or any(way(item) for way in ways[:-1])


async def require_room(
    tx: Transaction, project: str, service: str, need: Requirement, replicas: int, priority: int = 0
) -> None:
    """Raises InvalidError unless that many replicas fit and the quota of `project` allows them, what the service
    holds now, and what makes room for its priority, counting as free."""
    snapshot = await Pools(tx).snapshot()
    freed = {service} | await _weaker(tx, priority)
    gives_way = await _gives_way(tx, project, need.pool, snapshot, freed)
    snapshot = snapshot.without(gives_way)
    for number in range(replicas):
        answer = place_replica(need, snapshot, service)
        if isinstance(answer, Refusal):
            raise _refused(f"{number} of {replicas} replicas of {service} fit: {answer.sentence}.", need, snapshot)
        snapshot = snapshot.plus(*(Commitment(f"asked-{number}", service, one.allocation) for one in answer))
    over = await _over_quota(tx, project, service, need, replicas, gives_way)
    if over:
        message = f"{replicas} replicas of {service} are too many: {over}."
        raise InvalidError(message, hint=f"Try: {_LARGER}.", code="over_quota")


async def _over_quota(
    tx: Transaction,
    project: str,
    service: str,
    need: Requirement,
    replicas: int,
    gives_way: Callable[[Commitment], bool],
) -> str | None:
    """Why the quota of `project` does not allow that many replicas of `service`, in words; None where it does.

    Places are looked for without what makes room, and counted beside all that is held now. Nothing makes room for what
    would run on borrowed quota itself: that needs a place that is free.
    """
    quotas = await quotas_of(tx, need.pool)
    quotas = replace(quotas, projects={**quotas.projects, service: project})
    before = (await Pools(tx).snapshot()).without(lambda item: item.service == service)
    free, room, asked = before, before.without(gives_way), list[Allocation]()
    unlent: str | None = None
    for number in range(replicas):
        found = place_replica(need, free, service)
        answer = place_replica(need, room, service) if isinstance(found, Refusal) else found
        if isinstance(answer, Refusal):
            break
        asked.extend(one.allocation for one in answer)
        if isinstance(found, Refusal) and quotas.borrows(need.pool, project, before, asked):
            unlent = (
                f"project {project} would borrow quota of pool {need.pool}, for which no replica is stopped,"
                f" and {found.sentence}"
            )
        coming = [Commitment(f"asked-{number}", service, one.allocation) for one in answer]
        room = room.plus(*coming)
        free = free if isinstance(found, Refusal) else free.plus(*coming)
    return quotas.refusal(need.pool, project, before, asked) or unlent


async def quotas_of(tx: Transaction, name: str) -> Quotas:
    """The quotas of a pool, with the project of every service."""
    return pool_quotas([await Pools(tx).get(name)], await Services(tx).all())


async def require_surge(tx: Transaction, service: str, need: Requirement) -> None:
    """Raises ConflictError unless one new replica fits beside the one that must keep serving meanwhile."""
    snapshot = await Pools(tx).snapshot()
    answer = place_replica(need, snapshot, service)
    if isinstance(answer, Refusal):
        raise ConflictError(
            f"An update keeps the present revision serving until the new one is ready, and both do not fit:"
            f" {answer.sentence}.",
            hint=f"Stop the service first (`aicp service stop {service}`), update it, then start it again.",
            code="no_room_for_update",
        )


def _refused(message: str, need: Requirement, snapshot: Snapshot) -> InvalidError:
    tries = [f"stop {name}" for name in relief(need, snapshot, "")]
    return InvalidError(message, hint=f"Try: {'; '.join(tries)}." if tries else None, code="does_not_fit")
