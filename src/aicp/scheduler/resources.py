"""What the scheduler sees: what a replica needs, what nodes have, and what is given away. Plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from aicp.core.launch import Allocation
from aicp.core.pool import PoolOrder as Order
from aicp.core.slice import SliceRequest, Slicing

CPU = "cpu"
FOREIGN_TOLERANCE = 0.05
"""Share of an accelerator's memory that other processes may hold while it still counts as free."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one replica needs. For vendor `cpu` the host memory is the accelerator's memory, counted once.

    `selector` are labels (name, value) that the node must carry, `tolerations` the taints it may carry, `product` the
    only product that will do, `model_digest` the model whose files a node had better hold already. `nodes` above one
    makes it a gang: a leader and followers of the same size, each on a node of its own, all or none. Of two that
    compete the higher `priority` wins; `project` is whose quota and whose reservations count.

    With `slice` it is a part of each of `accelerators` (at least one) distinct devices of one node instead of whole
    ones; a slice of the `cpu` device brings its cores and its memory itself, `cpu_cores` and `memory_bytes` say
    nothing then.
    """

    pool: str
    vendor: str
    accelerators: int
    accelerator_memory_bytes: int
    cpu_cores: float
    memory_bytes: int
    slice: SliceRequest | None = None
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[str, ...] = ()
    product: str | None = None
    model_digest: str | None = None
    nodes: int = 1
    project: str = ""
    priority: int = 0

    def tolerates(self, taint: str) -> bool:
        """Whether a taint, KEY or KEY=VALUE, does not keep it off: named as a whole or by its key."""
        return taint in self.tolerations or taint.partition("=")[0] in self.tolerations

    @property
    def devices(self) -> int:
        """How many distinct accelerators it takes, whole or a part of each."""
        return self.accelerators if self.slice is None else max(1, self.accelerators)


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator of a node; `foreign_bytes` is memory held by processes that are not replicas.

    `slicing` says in which ways it can be cut, the best first; `cores` how many a `cpu` device has; `reserved_for`
    the only project that may have it; `memory_factor` how many times its memory may be promised to slices, where what
    holds them allows more than once.
    """

    vendor: str
    device_id: str
    index: int
    product: str
    memory_bytes: int
    foreign_bytes: int = 0
    healthy: bool = True
    slicing: tuple[Slicing, ...] = ()
    cores: float | None = None
    reserved_for: str | None = None
    memory_factor: float = 1.0

    @property
    def untouched(self) -> bool:
        """Healthy and not filled by processes that are not replicas."""
        return self.healthy and self.foreign_bytes <= self.memory_bytes * FOREIGN_TOLERANCE

    @property
    def label(self) -> str:
        """As people tell it from the others of its node: `NVIDIA L20 0`."""
        return f"{self.product} {self.index}"


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """One node. `memory_bytes` is the host memory that engines may use, `foreign_bytes` what others hold of it.

    A replica goes to a node with `taints` (KEY or KEY=VALUE) only when it tolerates each of them. `links` tells how two
    devices are wired, both given by device_id, see topology.py; `model_digests` are the models whose files are there.
    """

    id: str
    name: str
    pool: str
    cpu_cores: float
    memory_bytes: int
    devices: tuple[Device, ...] = ()
    foreign_bytes: int = 0
    unschedulable: str | None = None
    """Why nothing new may go there, in words; None when it may."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    taints: tuple[str, ...] = ()
    avoided: tuple[str, ...] = ()
    """Taints that keep nobody off and make the node the last choice of those that do not tolerate them."""
    links: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str], hash=False)
    model_digests: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Commitment:
    """An allocation that is given away, and to whom. The members of a gang share their `replica_id`."""

    replica_id: str
    service: str
    allocation: Allocation
    project: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How a pool is filled. `unlike` allows one replica on accelerators of several products; `near` is the label
    whose value the nodes of a gang had better share, e.g. `rack`. `memory_factor` is how many times the memory of a
    device may be promised to its slices."""

    order: Order = Order.SPREAD
    unlike: bool = True
    near: str | None = None
    memory_factor: float = 1.0


_USUAL = PoolPolicy()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All nodes with all committed allocations at one moment. Trying something is making another snapshot."""

    nodes: tuple[NodeCapacity, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    policies: Mapping[str, PoolPolicy] = field(default_factory=dict[str, PoolPolicy], hash=False)

    def policy(self, pool: str) -> PoolPolicy:
        """How the pool is filled."""
        return self.policies.get(pool, _USUAL)

    def plus(self, *more: Commitment) -> Snapshot:
        """The snapshot with further commitments."""
        return replace(self, commitments=self.commitments + more)

    def without(self, drop: Callable[[Commitment], bool]) -> Snapshot:
        """The snapshot without the commitments that `drop` picks."""
        return replace(self, commitments=tuple(item for item in self.commitments if not drop(item)))

    def on(self, node_id: str) -> list[Commitment]:
        """Commitments on one node."""
        return [item for item in self.commitments if item.allocation.node_id == node_id]

    def by_node(self) -> Iterator[tuple[NodeCapacity, list[Commitment]]]:
        """Every node with its commitments."""
        held: dict[str, list[Commitment]] = {}
        for item in self.commitments:
            held.setdefault(item.allocation.node_id, []).append(item)
        for node in self.nodes:
            yield node, held.get(node.id, [])

    def memory_free(self, node: NodeCapacity) -> int:
        """Host memory of the node that is neither promised nor held by others."""
        given = sum(item.allocation.memory_bytes for item in self.on(node.id))
        return max(0, node.memory_bytes - node.foreign_bytes - given)

    def cores_given(self, node: NodeCapacity) -> float:
        """Cores in allocations; may be more than the node has."""
        return sum(item.allocation.cpu_cores for item in self.on(node.id))

    def devices_free(self, node: NodeCapacity, vendor: str) -> list[Device]:
        """Whole accelerators of the vendor without any allocation, healthy and not filled by others."""
        taken = {(share.vendor, share.device_id) for item in self.on(node.id) for share in item.allocation.devices}
        return [
            device
            for device in node.devices
            if device.vendor == vendor and device.untouched and (device.vendor, device.device_id) not in taken
        ]
