"""From a revision and an allocation to what a runner needs."""

from __future__ import annotations

from aicp.core.launch import Allocation, ReplicaLaunch, ReplicaMember
from aicp.engines.base import Engine, LaunchRequest, Sizing
from aicp.store.revisions import Revision


def build_launch(
    replica_id: str, service: str, revision: Revision, allocation: Allocation, engine: Engine
) -> ReplicaLaunch:
    """One replica on one node. The engine answers to the service's name."""
    plan = revision.plan
    spec = engine.launch(
        LaunchRequest(
            version=revision.version,
            model_type=revision.type,
            allocation=allocation,
            mode=plan.mode,
            sizing=Sizing(plan.context_length, plan.users, allocation.cpu_cores, revision.requirement.vendor),
            served_name=service,
            engine_version=plan.engine_version,
            variant=plan.variant,
            flags=revision.spec.engine_flags,
        )
    )
    files = [(file.path, file.sha256, file.size_bytes) for file in revision.version.files]
    member = ReplicaMember(node_id=allocation.node_id, launch=spec, allocation=allocation, model_files=files)
    return ReplicaLaunch(replica_id=replica_id, service=service, generation=revision.template, members=[member])
