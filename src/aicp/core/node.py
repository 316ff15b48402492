"""Machines: what their agents report, and what an operator says of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from aicp.core.accelerator import Accelerator
from aicp.core.ids import NAME_PATTERN
from aicp.core.value import Request, Value

_LABEL = r"^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$"
_WORD = r"^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"
LabelKey = Annotated[str, Field(pattern=_LABEL)]
LabelValue = Annotated[str, Field(pattern=_WORD)]
Toleration = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}(?:=[A-Za-z0-9._-]{1,63})?$")]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]
"""Words by which nodes and pools are told apart: `zone=a`."""


class NodeState(StrEnum):
    """Whether the node's agent answers."""

    READY = "ready"
    LOST = "lost"
    CORDONED = "cordoned"


class EnvironmentState(StrEnum):
    """Life of an engine environment on a node."""

    ABSENT = "absent"
    INSTALLING = "installing"
    INSTALLED = "installed"
    BROKEN = "broken"


class EnvironmentStatus(Value):
    """An engine environment on one node. `engine`, `version`, `variant` name it: vllm, 0.32.0, cpu."""

    engine: str
    version: str
    variant: str
    state: EnvironmentState
    phase: str | None = None
    progress: float | None = None
    message: str | None = None
    size_bytes: int | None = None
    lock_digest: str | None = None
    built_at: AwareDatetime | None = None


class TaintEffect(StrEnum):
    """What a taint does to replicas whose service does not tolerate it."""

    NO_SCHEDULE = "no_schedule"
    """None is placed there."""
    PREFER_NO_SCHEDULE = "prefer_no_schedule"
    """One is placed there only where no other node fits."""


class Taint(Request):
    """Keeps replicas off a node that do not tolerate it."""

    key: LabelKey
    value: LabelValue = ""
    effect: TaintEffect = TaintEffect.NO_SCHEDULE

    @property
    def text(self) -> str:
        """KEY, or KEY=VALUE: what a service writes to tolerate it; KEY alone tolerates every value."""
        return f"{self.key}={self.value}" if self.value else self.key


class NodeStatus(Value):
    """What an agent reports of its node."""

    node_id: str
    hostname: str
    os: str
    architecture: str
    cpu_cores: int
    memory_bytes: int
    memory_used_bytes: int
    disk_free_bytes: int
    disk_bytes: int | None = Field(default=None, description="size of the disk that holds models and environments")
    agent_version: str
    accelerators: list[Accelerator]
    environments: list[EnvironmentStatus] = []
    model_digests: list[str] = []


class Node(Value):
    """A machine of the pool. `draining`: cordoned, and its replicas move to other nodes."""

    id: str
    name: str
    pool: str
    state: NodeState
    reason: str | None = None
    draining: bool = False
    labels: Labels = {}
    taints: list[Taint] = []
    address: str
    created_at: AwareDatetime
    seen_at: AwareDatetime | None = None
    status: NodeStatus | None = None


class NodeUpdate(Request):
    """What may change on a node, each only when given; labels and taints are given anew as a whole.

    A cordoned node gets no new replicas; those on it go on. A node changes its pool only while it holds no replica.
    """

    cordoned: bool | None = None
    pool: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    labels: Labels | None = None
    taints: list[Taint] | None = Field(default=None, max_length=64)
