"""What a change of a service makes of its revisions, without the store."""

from __future__ import annotations

from typing import Any

from aicp.control.service_plans import Proposal
from aicp.core.access import Caller
from aicp.core.errors import ConflictError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.service import Service, ServiceSpec, ServiceUpdate
from aicp.store.revisions import Revision

_WITHOUT_RESTART = frozenset({"replicas", "autoscale", "drain_seconds", "visibility", "priority", "preemptible"})
"""Fields of a spec that change nothing about a running replica."""


def shape_of(spec: ServiceSpec) -> dict[str, Any]:
    """What of a spec a replica is started with."""
    shape = spec.model_dump(mode="json", exclude=set(_WITHOUT_RESTART))
    # how large a slice is can change under a running replica; whether it is one cannot
    shape["compute"]["slice"] = spec.compute.slice is not None
    return shape


def require_priority(caller: Caller, spec: ServiceSpec, now: int = 0) -> None:
    """Raises ForbiddenError where a priority above the usual is raised by one who does not run the platform: it takes
    places from other projects."""
    if spec.priority > max(0, now):
        caller.require(Permission.NODE_WRITE, what=f"Priority {spec.priority}")


def asked_spec(body: ServiceUpdate, current: ServiceSpec) -> ServiceSpec:
    """The spec that an update of `current` asks for."""
    spec = body.spec or current
    return spec if body.replicas is None else spec.model_copy(update={"replicas": body.replicas})


def require_own_number(service: Service, body: ServiceUpdate, current: ServiceSpec) -> None:
    """Raises ConflictError for a number of replicas where the service's load says it."""
    if body.replicas is not None and body.spec is None and current.autoscale is not None:
        bounds = f"{current.autoscale.min_replicas} and {current.autoscale.max_replicas}"
        raise ConflictError(
            f"{service.name} scales itself between {bounds} replicas.",
            hint=f"Change its bounds with `aicp service update {service.name} --min-replicas N --max-replicas N`, or "
            f"say how many with `aicp service update {service.name} --no-autoscale --replicas {body.replicas}`.",
        )


def new_revision(service_id: str, generation: int, template: int, proposal: Proposal, user: str) -> Revision:
    """The revision that `proposal` makes, with a shape of its own."""
    return Revision(
        service_id=service_id,
        generation=generation,
        template=template,
        spec=proposal.spec,
        type=proposal.model.type,
        version=proposal.version,
        requirement=proposal.planned.requirement,
        plan=proposal.planned.plan,
        created_by=user,
    )


def describe_update(body: ServiceUpdate, revision: Revision | None) -> str:
    """What an update did, in words."""
    said: list[str] = []
    if revision is not None:
        said.append(f"Revision {revision.generation}.")
    if body.replicas is not None:
        said.append(f"Replicas: {body.replicas}.")
    if body.stopped is not None:
        said.append("Stopped." if body.stopped else "Started.")
    return " ".join(said) or "Nothing that matters changed."


def update_difference(
    old_spec: ServiceSpec, before: Service, new_spec: ServiceSpec, after: Service, body: ServiceUpdate
) -> dict[str, Any]:
    """What an update changed, for its audit event."""
    old = {**old_spec.model_dump(mode="json"), "stopped": before.stopped, "description": before.description}
    new = {**new_spec.model_dump(mode="json"), "stopped": after.stopped, "description": before.description}
    return difference(old, new if body.description is None else {**new, "description": body.description})
