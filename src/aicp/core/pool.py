"""Pools: named sets of nodes with one purpose, what projects may hold of them, and the view of what is where."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from aicp.core.accelerator import AcceleratorHealth
from aicp.core.ids import NAME_PATTERN
from aicp.core.launch import ReplicaState
from aicp.core.node import Labels, NodeState, Taint
from aicp.core.slice import SlicePolicy, Slicing
from aicp.core.value import Request, Value

_TIME = re.compile(r"^([01]\d|2[0-3]):[0-5]\d$")


class Purpose(StrEnum):
    """What a pool's accelerators are for."""

    INFERENCE = "inference"
    TRAINING = "training"
    BOTH = "both"
    WINDOWS = "windows"
    """Inference, and training alone within the pool's windows."""


class PoolOrder(StrEnum):
    """What comes first where a pool is filled."""

    SPREAD = "spread"
    """Replicas of a service on different nodes, so that a node that fails takes few of them along."""
    PACK = "pack"
    """As few accelerators as possible, so that whole ones stay free for large models."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"there is no time zone {name!r}; Asia/Taipei is one") from error
    return name


class TrainingWindow(Request):
    """Hours that belong to training: from `start` to `end`, over midnight where `end` is not later than `start`.

    `days` are those on which it starts, 1 is Monday and 7 is Sunday.
    """

    days: list[Annotated[int, Field(ge=1, le=7)]] = Field(default=[1, 2, 3, 4, 5, 6, 7], min_length=1, max_length=7)
    start: str = Field(pattern=_TIME.pattern, description="HH:MM")
    end: str = Field(pattern=_TIME.pattern, description="HH:MM; equal to start: a whole day")
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"

    def holds(self, at: datetime) -> bool:
        """Whether `at`, a time with a zone, lies in the window."""
        local = at.astimezone(ZoneInfo(self.time_zone))
        clock, today = f"{local:%H:%M}", local.isoweekday()
        if self.start < self.end:
            return today in self.days and self.start <= clock < self.end
        yesterday = (today - 2) % 7 + 1
        return (today in self.days and clock >= self.start) or (yesterday in self.days and clock < self.end)


def takes_inference(purpose: Purpose, windows: list[TrainingWindow], at: datetime | None) -> str | None:
    """Why a pool takes no new replica at `at`, in words; None when it does. Without a time, windows do not count."""
    if purpose == Purpose.TRAINING:
        return "its pool is for training"
    if purpose != Purpose.WINDOWS or at is None:
        return None
    window = next((item for item in windows if item.holds(at)), None)
    if window is None:
        return None
    return f"its pool is for training until {window.end} ({window.time_zone})"


class PoolQuota(Request):
    """What all replicas of a project may hold of a pool at once; None is no limit, 0 is nothing.

    Where the pool's policy is to borrow, others may use up to `lend_percent` of it while it is unused, and the project
    may hold up to `borrow_percent` of it more than its own; None is as much as others leave.
    """

    project: str = Field(pattern=NAME_PATTERN)
    accelerators: int | None = Field(default=None, ge=0, description="accelerators at once, whole or in part")
    compute_percent: int | None = Field(default=None, ge=0, description="sum of compute; a whole accelerator is 100")
    memory_bytes: int | None = Field(default=None, ge=0, description="sum of accelerator memory")
    lend_percent: int = Field(default=100, ge=0, le=100, description="how much of it others may borrow while unused")
    borrow_percent: int | None = Field(
        default=None, ge=0, le=100_000, description="how much may be borrowed at most, in hundredths of the quota"
    )


class Held(Value):
    """What replicas hold of accelerators: how many, the sum of their compute, and of their memory."""

    accelerators: int = 0
    compute_percent: int = 0
    memory_bytes: int = 0


Oversubscription = Annotated[
    float, Field(ge=1, le=2, description="how many times the memory of an accelerator may be promised to its slices")
]


class QuotaUse(Value):
    """A project's quota in a pool, and what the project holds of it now."""

    quota: PoolQuota
    held: Held
    borrowed: Held = Field(default=Held(), description="what of `held` is beyond the project's own quota")
    lendable: Held = Field(default=Held(), description="what is unused and lent, whether somebody borrows it or not")


class Pool(Value):
    """A named set of nodes with one purpose: what it has, what is taken and who waits.

    Accelerators, `memory_*` and `vendors` leave processors out; those count as cores and host memory. An accelerator
    is used as soon as a replica holds a part of it.
    """

    name: str
    description: str = ""
    purpose: Purpose = Purpose.INFERENCE
    windows: list[TrainingWindow] = []
    closed: str | None = Field(default=None, description="why it takes no new replica now")
    policy: PoolOrder = PoolOrder.SPREAD
    unlike: bool = Field(default=True, description="one replica may get accelerators of several products")
    borrowing: bool = Field(default=False, description="projects use what others leave unused of their quotas")
    memory_oversubscription: Oversubscription = 1.0
    labels: Labels = {}
    vendors: list[str] = []
    products: dict[str, int] = Field(default={}, description="product -> accelerators of it")
    simulated: bool = Field(default=False, description="some of its accelerators are made up")
    nodes: int = 0
    nodes_ready: int = 0
    services: int = 0
    accelerators: int = 0
    accelerators_used: int = 0
    accelerators_free: int = Field(default=0, description="wholly free ones on nodes that take replicas")
    accelerators_simulated: int = Field(default=0, description="of `accelerators`: how many are made up")
    memory_bytes: int = 0
    memory_used_bytes: int = Field(default=0, description="given to replicas")
    memory_free_bytes: int = Field(default=0, description="of the wholly free accelerators")
    cpu_cores: float = 0
    cpu_cores_free: float = 0
    host_memory_bytes: int = 0
    host_memory_free_bytes: int = 0
    storage_bytes: int = Field(default=0, description="disks of the nodes that hold models and environments")
    storage_used_bytes: int = 0
    waiting: int = Field(default=0, description="replicas that wait for a place")
    quotas: list[PoolQuota] = []


def _single(quotas: list[PoolQuota]) -> list[PoolQuota]:
    projects = [item.project for item in quotas]
    twice = next((name for name in projects if projects.count(name) > 1), None)
    if twice:
        raise ValueError(f"project {twice} has two quotas")
    return quotas


Quotas = Annotated[list[PoolQuota], AfterValidator(_single)]


class PoolCreate(Request):
    """A new pool, without nodes."""

    name: str = Field(pattern=NAME_PATTERN)
    description: str = Field(default="", max_length=2000)
    purpose: Purpose = Purpose.INFERENCE
    windows: list[TrainingWindow] = Field(default=[], max_length=50)
    policy: PoolOrder = PoolOrder.SPREAD
    unlike: bool = Field(default=True, description="one replica may get accelerators of several products")
    borrowing: bool = Field(default=False, description="projects use what others leave unused of their quotas")
    memory_oversubscription: Oversubscription = 1.0
    labels: Labels = {}
    quotas: Quotas = []

    @model_validator(mode="after")
    def _windows_where_they_count(self) -> PoolCreate:
        check_windows(self.purpose, self.windows)
        return self


def check_windows(purpose: Purpose, windows: list[TrainingWindow]) -> None:
    """Raises ValueError unless windows are given exactly where the purpose is `windows`."""
    if purpose == Purpose.WINDOWS and not windows:
        raise ValueError("purpose windows needs at least one window of training")
    if purpose != Purpose.WINDOWS and windows:
        raise ValueError("windows belong to purpose windows alone")


class PoolUpdate(Request):
    """What may change on a pool, each only when given; lists and labels are given anew as a whole."""

    description: str | None = Field(default=None, max_length=2000)
    purpose: Purpose | None = None
    windows: list[TrainingWindow] | None = Field(default=None, max_length=50)
    policy: PoolOrder | None = None
    unlike: bool | None = None
    borrowing: bool | None = None
    memory_oversubscription: Oversubscription | None = None
    labels: Labels | None = None
    quotas: Quotas | None = None
    add_nodes: list[str] = Field(default=[], description="ids or names of nodes to move into the pool")


class HeldShare(Value):
    """What one replica holds of one accelerator. `replica`, `service` and `project` are None for another's project."""

    replica: str | None = None
    service: str | None = None
    project: str | None = None
    state: ReplicaState
    compute_percent: int
    memory_bytes: int
    mechanism: str | None = None
    profile: str | None = None
    policy: SlicePolicy = SlicePolicy.CAP
    rounding: str | None = None


class PoolDevice(Value):
    """One accelerator with all that is given away of it. `free_*` is what the next slice may have at most."""

    vendor: str
    device_id: str
    index: int
    product: str
    health: AcceleratorHealth
    health_reason: str | None = None
    simulated: bool = False
    memory_bytes: int
    memory_used_bytes: int | None = Field(default=None, description="measured, by whomever")
    utilization_percent: float | None = None
    slicing: list[Slicing] = []
    shares: list[HeldShare] = []
    free_compute_percent: int
    free_memory_bytes: int


class PoolNode(Value):
    """One node of a pool with its accelerators."""

    id: str
    name: str
    state: NodeState
    reason: str | None = None
    draining: bool = False
    labels: Labels = {}
    taints: list[Taint] = []
    cpu_cores: float = 0
    cpu_cores_given: float = 0
    memory_bytes: int = 0
    memory_free_bytes: int = 0
    devices: list[PoolDevice] = []


class WaitingNode(Value):
    """Why one node does not take a replica."""

    node: str
    reason: str


class WaitingReplica(Value):
    """A replica without a place: since when, why, and why not on each node of its pool."""

    replica: str
    service: str
    project: str
    since: AwareDatetime
    reason: str
    nodes: list[WaitingNode] = []


class PoolView(Value):
    """A pool with all its nodes and accelerators, what replicas hold of them, who waits, and how quotas stand."""

    pool: Pool
    nodes: list[PoolNode]
    waiting: list[WaitingReplica]
    quotas: list[QuotaUse]


class DrainMove(Value):
    """One replica of a node that is drained: where the next one of its service goes, or why there is no place."""

    replica: str
    service: str
    project: str
    state: ReplicaState
    node: str | None = None
    reason: str | None = None


class DrainPlan(Value):
    """What draining a node does, or has still to do: replicas that move, and those that find no other place."""

    node: str
    draining: bool
    moves: list[DrainMove]
