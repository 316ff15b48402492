"""What the decision about services sees, and what it may decide. Plain values; the loop fills and executes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from aicp.core.launch import Allocation, ReplicaState
from aicp.core.service import ServiceState
from aicp.scheduler.placement import Placement, Requirement, Snapshot
from aicp.scheduler.quotas import Quotas


@dataclass(frozen=True, slots=True)
class Status:
    """What is said about a service. `since` is not part of it: texts must not change while nothing happens."""

    state: ServiceState
    reason: str = ""
    ready: int = 0
    wanted: int = 0
    observed_generation: int = 0


@dataclass(frozen=True, slots=True)
class Desired:
    """What should be. `template` is the revision whose replicas are wanted; scaling makes a new generation with the
    same template, so that no replica restarts. `fallback` is the template that served before, if there is one."""

    service_id: str
    name: str
    generation: int
    template: int
    replicas: int
    requirement: Requirement
    promoted: bool = False
    fallback: int | None = None
    deleted: bool = False
    note: str = ""
    """What the user should know while all is well, e.g. that a newer revision was rolled back."""
    start_timeout_seconds: float = 900.0
    project: str = ""
    preemptible: bool = False
    """Its replicas may be stopped where one of a higher priority finds no other place."""
    asleep: str | None = None
    """Why it has no replica though nobody stopped it; the next request wakes it."""
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One replica as the store knows it after the last observation."""

    id: str
    service_id: str
    service: str
    generation: int
    state: ReplicaState
    created_at: datetime
    reason: str | None = None
    phase: str | None = None
    allocation: Allocation | None = None
    followers: tuple[Allocation, ...] = ()
    """What the other members hold, where it spans nodes."""
    bereft: bool = False
    """It lost a node, and members on others still run."""
    node: str | None = None
    restarts: int = 0
    running: bool = False
    """The runner knows it, has not ended it and is not ending it."""
    drained: bool = False
    """No gateway routes to it any more and none waits for it, or its drain time is over."""
    moving: bool = False
    """Its node is being drained, or it is wanted elsewhere: it serves until a replica there does."""
    moving_why: str = ""
    target: Allocation | None = None
    """Where its successor goes, when it moves for another reason than its node."""
    moved_at: datetime | None = None
    """When that was ordered."""
    overdue: bool = False
    """It was to move so, and the time for it is over."""
    fault: str | None = None
    """Set when it is being stopped because it failed."""
    troubled_at: datetime | None = None
    """Since when its starts fail without one success; the node keeps trying."""
    loading_at: datetime | None = None
    ready_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Actual:
    """What is."""

    replicas: tuple[ReplicaView, ...] = ()
    snapshot: Snapshot = field(default_factory=Snapshot)
    quotas: Quotas = field(default_factory=Quotas)


@dataclass(frozen=True, slots=True)
class Create:
    """Make a row for a new replica of a template."""

    service_id: str
    template: int
    ordinal: int
    """Tells several creations of one pass apart."""


@dataclass(frozen=True, slots=True)
class Place:
    """Bind a pending replica to resources."""

    replica_id: str
    allocation: Allocation = field(hash=False)
    node: str = ""
    followers: tuple[Placement, ...] = field(default=(), hash=False)
    """The other members of one that spans nodes."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Say why a pending replica cannot be placed."""

    replica_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Hand an allocated replica to the runner."""

    replica_id: str


@dataclass(frozen=True, slots=True)
class Resize:
    """Hold a running replica to another part of the same devices."""

    replica_id: str
    generation: int
    allocation: Allocation = field(hash=False)


@dataclass(frozen=True, slots=True)
class Drain:
    """Take a replica out of the route table; with a fault it ends as failed."""

    replica_id: str
    reason: str
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Preempt:
    """Drain a replica so that one of a higher priority, or the owner of the quota that it borrows, finds room:
    `winner`, a service, is given its place. `cause` is why, in one word."""

    replica_id: str
    service_id: str
    winner_id: str
    reason: str
    winner_reason: str
    cause: str = "Priority"


@dataclass(frozen=True, slots=True)
class Stay:
    """A move is given up: the replica goes on where it is."""

    replica_id: str
    service_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a replica that is drained, or end one that never started."""

    replica_id: str


@dataclass(frozen=True, slots=True)
class Promote:
    """The template is healthy: it is what a later revision falls back to."""

    service_id: str
    template: int


@dataclass(frozen=True, slots=True)
class RollBack:
    """The template did not become healthy; go back to the one that serves."""

    service_id: str
    template: int
    fallback: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """Write the service's status."""

    service_id: str
    status: Status


@dataclass(frozen=True, slots=True)
class Remove:
    """Forget a deleted service whose replicas are gone."""

    service_id: str


Action = Create | Place | Wait | Start | Resize | Drain | Preempt | Stay | Stop | Promote | RollBack | Report | Remove
