"""What a runner is: one kind of place where replicas run. It reaches agents, it does not contain them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Protocol, runtime_checkable

from aicp.core.launch import ObservedReplica, ReplicaLaunch, ReplicaResize
from aicp.core.node import EnvironmentStatus, NodeStatus


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Where an agent answers: `unix:/path/agent.sock`, a base URL or `mtls://`, and the token it wants.

    `tls` is what to prove oneself with at `mtls://`, in place of a token; `lease_seconds` for how long such an agent
    may go on serving after each call.
    """

    address: str
    token: str
    tls: Callable[[], SSLContext] | None = None
    lease_seconds: float | None = None


class Runner(Protocol):
    """The required part. Failures to reach an agent raise UnavailableError."""

    async def nodes(self) -> list[NodeStatus]:
        """Status of every node that answers; nodes that do not are left out."""
        ...

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        """All members or none. Idempotent by (replica_id, generation); returns at once, `observe` shows the rest."""
        ...

    async def observe(self) -> list[ObservedReplica]:
        """Every replica the answering nodes know, also ended ones they have not forgotten."""
        ...

    async def stop(self, replica_id: str, generation: int, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL of the group after `grace_seconds`. Returns at once; already stopped is success."""
        ...

    async def close(self) -> None:
        """Gives connections back."""
        ...


@runtime_checkable
class KeepsEnvironments(Protocol):
    """A runner whose nodes hold engine environments. Failures to reach a node raise UnavailableError."""

    async def environments(self, node_id: str) -> list[EnvironmentStatus]:
        """Every environment on the node, also one that is being built or is broken."""
        ...

    async def install_environment(self, node_id: str, engine: str, version: str, variant: str) -> EnvironmentStatus:
        """Begins a build; returns at once. One that is built or being built is success."""
        ...

    async def remove_environment(self, node_id: str, engine: str, version: str, variant: str) -> None:
        """Removes one or cancels its build. Raises ConflictError while a replica uses it; absent is success."""
        ...


@runtime_checkable
class TellsReporters(Protocol):
    """A runner that can tell a node without a replica from one that did not answer in time."""

    def reporters(self) -> Collection[str]:
        """The nodes whose replicas the last `observe` told of, also where there were none."""
        ...


@runtime_checkable
class Resizes(Protocol):
    """A runner that can change what a running replica is held to."""

    async def resize(self, wanted: ReplicaResize) -> ObservedReplica:
        """The same again is success. Raises ConflictError when its node refuses, NotFoundError when none runs it."""
        ...


class RunnerDriver(Protocol):
    """A module of this folder ends in `driver = ...` of this shape."""

    def connect(self, agents: Sequence[AgentAddress], options: Mapping[str, Any] | None = None) -> Runner:
        """A runner over the agents of the listed nodes. No connection is made yet.

        `options` are the settings named after the runner, without its name: `namespace` of `kubernetes_namespace`.
        Raises InvalidError for options that cannot be.
        """
        ...


@runtime_checkable
class ChecksOptions(Protocol):
    """A driver that can tell before the start whether it could run with its options on this machine."""

    def check(self, options: Mapping[str, Any]) -> None:
        """Raises InvalidError that names the setting, or what has to be installed."""
        ...


@runtime_checkable
class TakesAgents(Protocol):
    """A runner whose nodes come and go while it runs."""

    def set_agents(self, agents: Sequence[AgentAddress]) -> None:
        """These besides those that it was connected with, and no others; the same again changes nothing."""
        ...


@runtime_checkable
class Watches(Protocol):
    """A runner that notices changes by itself."""

    def on_change(self, ring: Callable[[], None]) -> None:
        """`ring` is called, from the event loop, whenever something changed; it must return at once."""
        ...


@runtime_checkable
class KnowsDeadNodes(Protocol):
    """A runner that is told of a node's death sooner than the node's silence would tell."""

    def dead(self) -> Mapping[str, str]:
        """Node ids that are dead by all it has been told, with the reason in words. Counts for silent nodes alone."""
        ...


@runtime_checkable
class HasHead(Protocol):
    """A runner whose machines belong to a head, without which they go on for a while."""

    async def head_answers(self) -> bool:
        """Whether the head accepts connections at this moment."""
        ...


@dataclass(frozen=True, slots=True)
class PlatformManifests:
    """What to write the platform's own manifests for. `tls_secret` names a Secret of the type kubernetes.io/tls."""

    namespace: str
    image: str
    token_secret: str = "aicp-internal"
    tls_secret: str | None = None
    storage_class: str | None = None
    data_size: str = "50Gi"
    models_size: str = "500Gi"
    models: str = "claim:aicp-models"
    scheduler: str = "none"
    images: tuple[str, ...] = ()


@runtime_checkable
class RendersManifests(Protocol):
    """A driver whose place can also hold the platform itself."""

    def render(self, wanted: PlatformManifests) -> str:
        """The manifests as one text; the same for the same wish. Raises InvalidError for one that cannot be."""
        ...


@runtime_checkable
class StreamsLogs(Protocol):
    """A runner that can read engine logs."""

    def log(
        self, replica_id: str, *, tail: int = 100, follow: bool = False, node_id: str | None = None
    ) -> AsyncIterator[str]:
        """The last `tail` lines, then with `follow` new text as it comes. Works for ended replicas.

        `node_id` names the member of one that spans nodes, by default the leader. Raises NotFoundError when no node
        knows the replica.
        """
        ...
