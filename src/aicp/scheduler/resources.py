"""What the scheduler sees: what a replica needs, what nodes have, and what is given away. Plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aicp.core.launch import Allocation
from aicp.core.slice import SliceRequest, Slicing

CPU = "cpu"
FOREIGN_TOLERANCE = 0.05
"""Share of an accelerator's memory that other processes may hold while it still counts as free."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one replica needs. For vendor `cpu` the host memory is the accelerator's memory, counted once.

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

    @property
    def devices(self) -> int:
        """How many distinct accelerators it takes, whole or a part of each."""
        return self.accelerators if self.slice is None else max(1, self.accelerators)


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator of a node; `foreign_bytes` is memory held by processes that are not replicas.

    `slicing` says in which ways it can be cut, the best first; `cores` how many a `cpu` device has.
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
    """One node. `memory_bytes` is the host memory that engines may use, `foreign_bytes` what others hold of it."""

    id: str
    name: str
    pool: str
    cpu_cores: float
    memory_bytes: int
    devices: tuple[Device, ...] = ()
    foreign_bytes: int = 0
    unschedulable: str | None = None
    """Why nothing new may go there, in words; None when it may."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """An allocation that is given away, and to whom."""

    replica_id: str
    service: str
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All nodes with all committed allocations at one moment. Trying something is making another snapshot."""

    nodes: tuple[NodeCapacity, ...] = ()
    commitments: tuple[Commitment, ...] = ()

    def plus(self, *more: Commitment) -> Snapshot:
        """The snapshot with further commitments."""
        return Snapshot(self.nodes, self.commitments + more)

    def without(self, drop: Callable[[Commitment], bool]) -> Snapshot:
        """The snapshot without the commitments that `drop` picks."""
        return Snapshot(self.nodes, tuple(item for item in self.commitments if not drop(item)))

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
