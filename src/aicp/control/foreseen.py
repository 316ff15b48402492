"""Whose replicas would be stopped for what is about to be published."""

from __future__ import annotations

from dataclasses import replace

from aicp.control.service_plans import Proposal, quotas_of
from aicp.core.access import Caller
from aicp.core.identity import Permission
from aicp.core.model import Visibility
from aicp.core.service import Plan, Preempted, Service
from aicp.scheduler.preemption import Loans, foresee
from aicp.scheduler.services import LIVE
from aicp.store.database import Transaction
from aicp.store.pools import Pools
from aicp.store.replicas import Replicas
from aicp.store.services import Services


async def with_preempted(tx: Transaction, caller: Caller, proposal: Proposal) -> Plan:
    """The plan of `proposal` with the replicas that would make room for it, as the scheduler would choose them now.

    What the service itself holds counts as free. A service that `caller` may not see is not named.
    """
    plan, spec = proposal.planned.plan, proposal.spec
    services = {item.name: item for item in await Services(tx).all()}
    weaker = {
        name: item.spec.priority
        for name, item in services.items()
        if item.spec.preemptible and item.spec.priority < spec.priority and name != plan.name
    }
    quotas = await quotas_of(tx, spec.pool)
    if not plan.fit.fits or not (weaker or spec.pool in quotas.borrowing):
        return plan
    charged = {item.replica.id: item.replica for item in await Replicas(tx).charged()}
    live = {replica_id: replica for replica_id, replica in charged.items() if replica.state in LIVE}
    victims = {key: weaker[replica.service] for key, replica in live.items() if replica.service in weaker}
    # What finishes already is no reason to stop another one.
    snapshot = (await Pools(tx).snapshot()).without(
        lambda item: item.service == plan.name or item.replica_id not in live
    )
    need = replace(proposal.planned.requirement, priority=spec.priority, project=proposal.project)
    running = {
        key: services[replica.service].spec.priority for key, replica in live.items() if replica.service in services
    }
    loans = Loans(replace(quotas, projects={**quotas.projects, plan.name: proposal.project}), running)
    gone = foresee(need, snapshot, plan.name, spec.replicas, victims, loans)
    seen = [(charged[key], services[charged[key].service]) for key in gone]
    preempts = [
        Preempted(
            replica=replica.id,
            service=service.name,
            project=service.project,
            node=replica.node,
            priority=service.spec.priority,
        )
        if _may_see(caller, service)
        else Preempted(priority=service.spec.priority)
        for replica, service in seen
    ]
    return plan.model_copy(update={"preempts": preempts})


def _may_see(caller: Caller, service: Service) -> bool:
    public = service.spec.visibility == Visibility.PUBLIC and caller.may(Permission.SERVICE_READ)
    return public or caller.may(Permission.SERVICE_READ, service.project)
