"""What a runner needs to start an engine, and what it sees of it afterwards."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.slice import SlicePolicy
from aicp.core.value import Value


class DeviceShare(Value):
    """What one replica member gets of one accelerator: the whole of it, or a slice.

    `mechanism` is set for slices alone and names the enforcer that holds the slice to its size; `profile` the fixed
    shape it was cut by, where there are such; `rounding` what differs from what was asked.
    """

    vendor: str
    device_id: str
    index: int
    compute_percent: int = 100
    memory_bytes: int = 0
    mechanism: str | None = None
    policy: SlicePolicy = SlicePolicy.CAP
    profile: str | None = None
    rounding: str | None = None


class Allocation(Value):
    """The committed binding of one replica member to a node's resources."""

    node_id: str
    devices: list[DeviceShare]
    cpu_cores: float
    memory_bytes: int = Field(description="host memory limit of the process group")


class HealthCheck(Value):
    """How the agent learns that an engine serves: GET `path` answers 2xx.

    `token_path` is one that the engine answers only to the bearer of its token; many leave `path` open to everybody.
    """

    path: str = "/health"
    token_path: str | None = None
    interval_seconds: float = 0.25
    timeout_seconds: float = 2.0
    start_timeout_seconds: float = 900.0


class LaunchSpec(Value):
    """One engine process, described and not yet started.

    Placeholders, filled in by the agent wherever they occur in `command` and `env` values: `{python}` (the
    environment's interpreter; the platform's own without one), `{model}` (directory of the model copy),
    `{model_file}` (absolute path of `weights_file`), `{listen}` (path of the unix socket when `listen` is "unix"),
    `{port}` (loopback port when "tcp"), `{token}` (random secret of this start), `{home}` (the replica's directory),
    `{threads}` (whole cores of the allocation, at least 1). In a replica that spans nodes also `{leader}` (address of
    the leader's machine), `{group_port}` (port on it where members meet), `{rank}` (0: the leader), `{address}` (that
    of the member's own machine) and `{interface}` (its network interface). Nothing passes through a shell.

    A follower listens nowhere (`listen` is "none"): it is ready while it runs.

    `network_command` is the same program where it is reached over a network, from a container of its own: it listens
    on `{host}` and `{port}`, and begins with `{python}` or the name of a program. Empty: it cannot be.
    """

    engine: str
    engine_version: str
    variant: str = "cpu"
    environment: bool = Field(description="whether an isolated environment of engine, version, variant is needed")
    model_digest: str | None = None
    weights_file: str | None = None
    command: list[str]
    network_command: list[str] = []
    env: dict[str, str] = {}
    listen: str = Field(default="unix", pattern="^(unix|tcp|none)$")
    health: HealthCheck = HealthCheck()
    stop_grace_seconds: float = 10.0
    enforcers: list[str] = Field(default=["cgroup"], description="names of enforcers the agent applies where it can")


class GroupSeat(Value):
    """Where one member of a replica that spans nodes stands: rank 0 leads, and all meet at `leader` and `port`.

    `host` is the address of its own machine that the others reach.
    """

    rank: int = Field(ge=0)
    leader: str
    port: int = Field(ge=1, le=65535)
    host: str


class ReplicaMember(Value):
    """One process of a replica on one node (several for models that span nodes)."""

    node_id: str
    launch: LaunchSpec
    allocation: Allocation
    model_files: list[tuple[str, str, int]] = Field(
        default=[], description="(path, sha256, size_bytes) of the model copy to fetch before the start"
    )
    model_sources: list[str] = Field(
        default=[], description="agents (`mtls://`) whose nodes have the copy, to be asked before the control plane"
    )
    seat: GroupSeat | None = Field(default=None, description="of a replica that spans nodes; its members end together")

    def enforcers(self) -> list[str]:
        """Names of those that confine it: the launch's own, then those that hold its slices to their size."""
        held = [share.mechanism for share in self.allocation.devices if share.mechanism is not None]
        return list(dict.fromkeys([*self.launch.enforcers, *held]))


class ReplicaLaunch(Value):
    """All a runner needs for one replica. Idempotent by (replica_id, generation)."""

    replica_id: str
    service: str
    generation: int
    members: list[ReplicaMember]


class ReplicaResize(Value):
    """Another allocation for a member that runs: the same devices, another part of them."""

    replica_id: str
    generation: int
    allocation: Allocation


class ReplicaState(StrEnum):
    """Life of a replica; see REPLICA_TRANSITIONS in aicp.core.replica for who moves what."""

    PENDING = "pending"
    ALLOCATED = "allocated"
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    DEGRADED = "degraded"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"
    FENCED = "fenced"


class ObservedMember(Value):
    """One process as the agent sees it."""

    node_id: str
    pid: int | None = None
    exit_code: int | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    cpu_seconds: float | None = None
    allocation: Allocation | None = Field(default=None, description="what it is held to now")
    limits: list[str] = Field(default=[], description="what each enforcer holds it to, or why nothing does")
    state: ReplicaState | None = Field(default=None, description="its own, where its replica spans nodes")
    reason: str | None = None
    phase: str | None = None


class ObservedReplica(Value):
    """A replica as a runner sees it.

    States: starting (fetching, building), loading (process up), ready, degraded (up, not healthy), stopped, failed.

    `address` is `unix:/path` or `http://127.0.0.1:port`, on a joined node `mtls://name@host:port` (aicp.core.mutual);
    `token` is what the engine wants as bearer.
    """

    replica_id: str
    generation: int
    state: ReplicaState
    reason: str | None = None
    phase: str | None = None
    progress: float | None = None
    address: str | None = None
    token: str | None = None
    started_at: AwareDatetime | None = None
    ready_at: AwareDatetime | None = None
    restarts: int = 0
    adopted: bool = False
    members: list[ObservedMember] = []
