"""From a revision and an allocation to what a runner needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from aicp.core.launch import Allocation, ReplicaLaunch, ReplicaMember
from aicp.core.mutual import is_mutual
from aicp.core.node import Node, NodeState
from aicp.engines.base import Engine, LaunchRequest, Sizing
from aicp.store.revisions import Revision

_MOST_SOURCES = 4


def model_sources(nodes: Iterable[Node], replica_id: str, digest: str, node_id: str) -> list[str]:
    """Agents of joined nodes that have a version's files, for a replica on another node.

    Each replica gets some of them in an order of its own, so that many that start at once do not all ask the same node.
    """
    holders = [
        node.address
        for node in nodes
        if node.id != node_id and node.state != NodeState.LOST and node.status and is_mutual(node.address)
        if digest in node.status.model_digests
    ]
    return sorted(holders, key=lambda address: sha256(f"{replica_id} {address}".encode()).digest())[:_MOST_SOURCES]


def build_launch(
    replica_id: str,
    service: str,
    revision: Revision,
    allocation: Allocation,
    engine: Engine,
    sources: Sequence[str] = (),
) -> ReplicaLaunch:
    """One replica on one node. The engine answers to the service's name; `sources` are asked first for its files."""
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
    member = ReplicaMember(
        node_id=allocation.node_id, launch=spec, allocation=allocation, model_files=files, model_sources=list(sources)
    )
    return ReplicaLaunch(replica_id=replica_id, service=service, generation=revision.template, members=[member])
