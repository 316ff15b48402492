"""From a revision and an allocation to what a runner needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from zlib import crc32

from aicp.core.errors import UnavailableError
from aicp.core.launch import Allocation, GroupSeat, ReplicaLaunch, ReplicaMember
from aicp.core.mutual import is_mutual, parse_mutual
from aicp.core.node import Node, NodeState
from aicp.engines.base import Engine, LaunchRequest, Sizing
from aicp.store.replicas import StoredReplica
from aicp.store.revisions import Revision

_MOST_SOURCES = 4
GROUP_PORTS = range(29500, 30000)
"""At one of these on the leader's machine the members of a replica that spans nodes meet."""


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


def choose_group_port(replica_id: str, taken: Collection[int]) -> int:
    """One that no other replica uses; of each replica another one, so that what a foreign program holds is met once.

    Raises UnavailableError when all are taken.
    """
    first = crc32(replica_id.encode()) % len(GROUP_PORTS)
    for port in (*GROUP_PORTS[first:], *GROUP_PORTS[:first]):
        if port not in taken:
            return port
    raise UnavailableError(f"More than {len(GROUP_PORTS)} replicas span nodes; there is no port left for another one.")


def group_seats(item: StoredReplica, nodes: Iterable[Node], own_host: str | None) -> list[GroupSeat | None]:
    """Where each member stands, the leader first. `own_host` is the address of the platform's own machine.

    Raises UnavailableError for a node without an address that others reach.
    """
    members = item.replica.members
    if not members or item.group_port is None:
        return [None]
    known = {node.id: node for node in nodes}
    hosts = [_host(known.get(member.node_id), member.node, own_host) for member in members]
    return [GroupSeat(rank=rank, leader=hosts[0], port=item.group_port, host=host) for rank, host in enumerate(hosts)]


def _host(node: Node | None, name: str, own_host: str | None) -> str:
    found = parse_mutual(node.address).host if node is not None and is_mutual(node.address) else own_host
    if found is None:
        raise UnavailableError(
            f"Other nodes know no address of node {name}, so no replica can span it and them.",
            hint="Start the platform with AICP_CLUSTER_ADDRESS=HOST:PORT, an address of its machine that they reach.",
        )
    return found


def build_launch(
    replica_id: str,
    service: str,
    revision: Revision,
    allocations: Sequence[Allocation],
    engine: Engine,
    sources: Sequence[Sequence[str]],
    seats: Sequence[GroupSeat | None] = (None,),
) -> ReplicaLaunch:
    """One replica. The engine answers to the service's name; each member asks its `sources` first for its files."""
    members = [
        _member(service, revision, allocation, engine, list(asked), seat)
        for allocation, asked, seat in zip(allocations, sources, seats, strict=True)
    ]
    return ReplicaLaunch(replica_id=replica_id, service=service, generation=revision.template, members=members)


def _member(
    service: str,
    revision: Revision,
    allocation: Allocation,
    engine: Engine,
    sources: list[str],
    seat: GroupSeat | None,
) -> ReplicaMember:
    plan, need = revision.plan, revision.requirement
    spec = engine.launch(
        LaunchRequest(
            version=revision.version,
            model_type=revision.type,
            allocation=allocation,
            mode=plan.mode,
            sizing=Sizing(plan.context_length, plan.users, allocation.cpu_cores, need.vendor, need.nodes),
            served_name=service,
            engine_version=plan.engine_version,
            variant=plan.variant,
            flags=revision.spec.engine_flags,
            rank=seat.rank if seat else 0,
        )
    )
    files = [(file.path, file.sha256, file.size_bytes) for file in revision.version.files]
    return ReplicaMember(
        node_id=allocation.node_id,
        launch=spec,
        allocation=allocation,
        model_files=files,
        model_sources=sources,
        seat=seat,
    )
