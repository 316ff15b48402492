"""Services: the desired state "serve this version, so many replicas, there", and its observed status."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import AwareDatetime, Field, model_validator

from aicp.core.autoscale import Autoscale, ScaleStatus
from aicp.core.ids import NAME_PATTERN
from aicp.core.model import ModelType, Visibility
from aicp.core.node import Labels, Toleration
from aicp.core.slice import SliceSpec
from aicp.core.value import Request, Value


class Mode(StrEnum):
    """What the engine is tuned for."""

    BALANCED = "balanced"
    LONG_TEXT = "long_text"
    CUSTOM = "custom"


class ServiceState(StrEnum):
    """Computed from replicas by the reconcile loop."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    UPDATING = "updating"
    DEGRADED = "degraded"
    FAILED = "failed"
    SLEEPING = "sleeping"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Compute(Request):
    """What one replica gets; None lets the platform choose and say why."""

    nodes: int = Field(
        default=1, ge=1, le=64, description="nodes that one replica spans; the rest is what it gets on each of them"
    )
    accelerators: int | None = Field(default=None, ge=0, le=64, description="whole accelerators, or slices of so many")
    slice: SliceSpec | None = Field(default=None, description="a part of each accelerator instead of the whole")
    vendor: str | None = None
    cpu_cores: float | None = Field(default=None, gt=0, le=1024)
    memory_bytes: int | None = Field(default=None, gt=0, description="host memory")
    node_labels: Labels | None = Field(default=None, description="labels that its nodes must carry")
    tolerations: list[Toleration] | None = Field(
        default=None, max_length=64, description="taints of nodes that keep it off no longer: KEY or KEY=VALUE"
    )

    @model_validator(mode="after")
    def _whole_over_nodes(self) -> Self:
        if self.nodes > 1 and self.slice is not None:
            raise ValueError("a replica that spans nodes gets whole accelerators; leave the slice out")
        return self


class ServiceSpec(Request):
    """What a user asks for. Every change makes a new generation (revision)."""

    model: str = Field(description="model name, `name:version` or `name:alias`")
    mode: Mode = Mode.BALANCED
    engine: str | None = None
    engine_version: str | None = None
    engine_flags: dict[str, Any] = Field(default={}, description="allowed by list per engine; mode custom")
    pool: str = "default"
    compute: Compute = Compute()
    replicas: int = Field(default=1, ge=0, le=1000)
    context_length: int | None = Field(default=None, ge=16)
    users: int | None = Field(default=None, ge=1, le=100000, description="simultaneous requests per replica")
    drain_seconds: float = Field(default=60, ge=0, le=3600)
    visibility: Visibility = Visibility.PUBLIC
    autoscale: Autoscale | None = Field(default=None, description="`replicas` is then the number it begins with")
    priority: int = Field(
        default=0, ge=-1000, le=1000, description="of replicas that wait the higher is placed first; 0 is usual"
    )
    preemptible: bool = Field(
        default=False, description="its replicas make room for those of a higher priority and come back afterwards"
    )


class ServiceCreate(Request):
    """Publish: `name` is the public model name that callers use."""

    name: str | None = Field(default=None, pattern=NAME_PATTERN, description="default: the model's name")
    project: str = "default"
    description: str = Field(default="", max_length=2000)
    spec: ServiceSpec
    create_key: bool = Field(default=False, description="make a key for this service only, shown once in the answer")


class ServiceUpdate(Request):
    """A new revision, or start and stop."""

    spec: ServiceSpec | None = None
    replicas: int | None = Field(default=None, ge=0, le=1000)
    stopped: bool | None = None
    description: str | None = Field(default=None, max_length=2000)


class Choice(Value):
    """One thing that was chosen, by whom, and why. `name` e.g. engine, version, max_num_batched_tokens."""

    name: str
    value: Any
    chosen_by: str = Field(description="user or platform")
    reason: str


class MemoryPart(Value):
    """One part of the memory estimate: weights, kv_cache, engine_overhead, ..."""

    name: str
    bytes: int
    explanation: str = ""


class Fit(Value):
    """Whether something can run somewhere, with the numbers and what would fit instead."""

    fits: bool
    reason: str
    suggestions: list[str] = []
    needed_bytes: int | None = None
    available_bytes: int | None = None


class Preempted(Value):
    """A replica that would be stopped to make room; of a service that the reader may not see only its priority."""

    replica: str | None = None
    service: str | None = None
    project: str | None = None
    node: str | None = None
    priority: int


class Plan(Value):
    """What will run and why; the answer to a publish before it happens."""

    name: str
    model: str
    version: str
    engine: str
    engine_version: str
    variant: str
    mode: Mode
    pool: str
    node: str | None = None
    replicas: int
    context_length: int
    users: int
    cpu_cores: float
    memory_bytes: int
    accelerators: list[str] = []
    memory: list[MemoryPart]
    choices: list[Choice]
    command: list[str] = []
    fit: Fit
    preempts: list[Preempted] = Field(
        default=[], description="replicas that would make room; in answers, not in revisions"
    )
    environment_installed: bool = False
    cli: str = Field(default="", description="the same as an `aicp` command; in answers to a plan")
    curl: str = Field(default="", description="the same as a request of the REST API")
    yaml: str = Field(default="", description="the same as a document for `aicp apply`")


class Condition(Value):
    """A reasoned yes, no or unknown about an object."""

    type: str
    status: bool | None
    reason: str
    message: str = ""
    at: AwareDatetime


class ServiceTraffic(Value):
    """Traffic over the last minutes. `ttft_ms_p99` is None where nothing was streamed."""

    requests_per_second: float = 0
    tokens_per_second: float = 0
    ttft_ms_p99: float | None = None


class Service(Value):
    """A published model."""

    id: str
    name: str
    project: str
    description: str = ""
    type: ModelType
    spec: ServiceSpec
    model_version: str = Field(description="`name:version` that the current revision serves")
    engine: str | None = None
    engine_version: str | None = None
    stopped: bool = False
    state: ServiceState
    reason: str = ""
    generation: int
    observed_generation: int
    serving_generation: int | None = Field(default=None, description="newest revision that became ready")
    replicas_ready: int = 0
    replicas_wanted: int = 0
    scale: ScaleStatus | None = Field(default=None, description="what autoscaling wants, where it is on")
    conditions: list[Condition] = []
    address: str | None = Field(default=None, description="base URL of the OpenAI-compatible API")
    traffic: ServiceTraffic | None = Field(default=None, description="over the last minutes; in lists")
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ServiceRevision(Value):
    """One generation of a service's intent, kept for diff and rollback."""

    generation: int
    spec: ServiceSpec
    model_version: str
    plan: Plan | None = None
    created_at: AwareDatetime
    created_by: str | None = None
    outcome: str = Field(default="pending", description="pending, ready, failed or rolled_back")


class Published(Value):
    """Answer to a publish: the service, and the key when one was asked for (shown once)."""

    service: Service
    plan: Plan
    key: str | None = None
    key_id: str | None = None
    curl: str = ""
    python: str = ""
