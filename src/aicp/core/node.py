"""Machines, and the pools that name sets of them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.accelerator import Accelerator
from aicp.core.value import Value


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
    agent_version: str
    accelerators: list[Accelerator]
    environments: list[EnvironmentStatus] = []
    model_digests: list[str] = []


class Node(Value):
    """A machine of the pool."""

    id: str
    name: str
    pool: str
    state: NodeState
    reason: str | None = None
    address: str
    created_at: AwareDatetime
    seen_at: AwareDatetime | None = None
    status: NodeStatus | None = None


class Pool(Value):
    """A named set of nodes with one policy, with what is free in it."""

    name: str
    description: str = ""
    policy: str = "inference"
    nodes: int = 0
    accelerators: int = 0
    accelerators_free: int = 0
    accelerators_simulated: int = Field(default=0, description="of `accelerators`: how many are made up")
    memory_bytes: int = 0
    memory_free_bytes: int = 0
    cpu_cores: float = 0
    cpu_cores_free: float = 0
    host_memory_bytes: int = 0
    host_memory_free_bytes: int = 0
