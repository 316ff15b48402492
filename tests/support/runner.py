"""A runner of one node without processes: replicas move on when the test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from aicp.core.accelerator import Accelerator
from aicp.core.errors import ConflictError, NotFoundError, UnavailableError
from aicp.core.launch import ObservedMember, ObservedReplica, ReplicaLaunch, ReplicaResize, ReplicaState
from aicp.core.node import EnvironmentStatus, NodeStatus
from aicp.core.quantity import GIB
from aicp.core.slice import SlicePolicy, Slicing

AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def make_node_status(node_id: str = "node_a", *, memory_bytes: int = 16 * GIB, cores: int = 4) -> NodeStatus:
    """A node with its host as the only accelerator."""
    groups = Slicing(mechanism="cgroup", policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT], resizable=True)
    host = Accelerator(
        vendor="cpu",
        index=0,
        device_id="cpu-0",
        product="a CPU",
        memory_bytes=memory_bytes,
        cores=cores,
        slicing=[groups],
    )
    return NodeStatus(
        node_id=node_id,
        hostname=node_id.replace("_", "-"),
        os="linux",
        architecture="x86_64",
        cpu_cores=cores,
        memory_bytes=memory_bytes,
        memory_used_bytes=0,
        disk_free_bytes=100 * GIB,
        agent_version="test",
        accelerators=[host],
    )


class FakeRunner:
    """Implements Runner and StreamsLogs over dictionaries, and counts starts and stops."""

    def __init__(self, *nodes: NodeStatus) -> None:
        self.statuses = {status.node_id: status for status in nodes or (make_node_status(),)}
        self.silent: set[str] = set()
        self.launches: dict[str, ReplicaLaunch] = {}
        self.seen: dict[str, ObservedReplica] = {}
        self.starts: list[str] = []
        self.stops: list[str] = []
        self.broken_models: set[str] = set()
        self.failing_starts = 0
        self.slow_stops = False
        self.resizes: list[ReplicaResize] = []
        self.refuses_resizes = False

    async def nodes(self) -> list[NodeStatus]:
        return [status for node_id, status in self.statuses.items() if node_id not in self.silent]

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        node_id = launch.members[0].node_id
        if node_id in self.silent:
            raise UnavailableError(f"No agent answers for node {node_id!r}.")
        if self.failing_starts:
            self.failing_starts -= 1
            raise UnavailableError("The agent is busy.")
        if launch.replica_id not in self.seen:
            self.starts.append(launch.replica_id)
            self.launches[launch.replica_id] = launch
            self.say(launch.replica_id, ReplicaState.STARTING, phase="fetching model 0%")
        return self.seen[launch.replica_id]

    async def observe(self) -> list[ObservedReplica]:
        return [
            seen
            for replica_id, seen in self.seen.items()
            if self.launches[replica_id].members[0].node_id not in self.silent
        ]

    async def stop(self, replica_id: str, generation: int, grace_seconds: float) -> None:
        if replica_id in self.seen:
            self.stops.append(replica_id)
            self.say(replica_id, ReplicaState.DRAINING if self.slow_stops else ReplicaState.STOPPED)

    async def resize(self, wanted: ReplicaResize) -> ObservedReplica:
        if wanted.replica_id not in self.seen:
            raise NotFoundError(f"This node runs no replica {wanted.replica_id!r}.")
        if wanted.allocation.node_id in self.silent:
            raise UnavailableError(f"No agent answers for node {wanted.allocation.node_id!r}.")
        if self.refuses_resizes:
            raise ConflictError("The engine uses 4 GiB now.")
        self.resizes.append(wanted)
        return self.seen[wanted.replica_id]

    async def close(self) -> None:
        self.seen.clear()

    async def log(
        self, replica_id: str, *, tail: int = 100, follow: bool = False, node_id: str | None = None
    ) -> AsyncIterator[str]:
        if replica_id not in self.launches:
            raise NotFoundError(f"No node knows a replica {replica_id!r}.")
        for number in range(3):
            yield f"line {number} of {replica_id}{f' on {node_id}' if node_id else ''}\n"
        if follow:
            yield "and more\n"

    async def environments(self, node_id: str) -> list[EnvironmentStatus]:
        return self.statuses[node_id].environments

    def say(self, replica_id: str, state: ReplicaState, **more: object) -> None:
        """What the agent reports of a replica from now on."""
        launch = self.launches[replica_id]
        up = state in (ReplicaState.LOADING, ReplicaState.READY, ReplicaState.DEGRADED)
        member = ObservedMember(
            node_id=launch.members[0].node_id,
            pid=4711 if up else None,
            memory_bytes=GIB if up else None,
            limits=["limits by cgroup: 2 cores"] if up else [],
        )
        self.seen[replica_id] = ObservedReplica(
            replica_id=replica_id,
            generation=launch.generation,
            state=state,
            address=f"unix:/run/{replica_id}.sock" if up else None,
            token="secret" if up else None,
            members=[member],
            **more,
        )

    def progress(self) -> None:
        """Every engine comes one step nearer to ready; those of broken models crash instead."""
        for replica_id, seen in list(self.seen.items()):
            digest = self.launches[replica_id].members[0].launch.model_digest
            if seen.state == ReplicaState.STARTING:
                self.say(replica_id, ReplicaState.LOADING, phase="loading", restarts=seen.restarts)
            elif seen.state == ReplicaState.LOADING and digest in self.broken_models:
                self.say(replica_id, ReplicaState.STARTING, reason="exit code 1", restarts=seen.restarts + 1)
            elif seen.state == ReplicaState.LOADING:
                self.say(replica_id, ReplicaState.READY, ready_at=AT, restarts=seen.restarts)

    def lose_all(self) -> None:
        """The node's machine was started anew: nothing runs, and its agent knows nothing."""
        self.seen.clear()
