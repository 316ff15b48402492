"""Where a replica goes: filter the nodes, score those that are left; answers an allocation or a reason per node.

Memory is never given twice. CPU cores are shared in time: each replica is capped at its own cores, and a node takes
up to CPU_SHARING times its cores in allocations, so that an update or a second service can run beside the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import format_bytes

CPU = "cpu"
CPU_SHARING = 8.0
"""How many times its cores a node may give away; beyond it every engine would crawl."""
_FOREIGN_TOLERANCE = 0.05
"""Share of an accelerator's memory that other processes may hold while it still counts as free."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one replica needs. For vendor `cpu` the host memory is the accelerator's memory, counted once."""

    pool: str
    vendor: str
    accelerators: int
    accelerator_memory_bytes: int
    cpu_cores: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator of a node; `foreign_bytes` is memory held by processes that are not replicas."""

    vendor: str
    device_id: str
    index: int
    product: str
    memory_bytes: int
    foreign_bytes: int = 0
    healthy: bool = True


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
            if device.vendor == vendor
            and device.healthy
            and (device.vendor, device.device_id) not in taken
            and device.foreign_bytes <= device.memory_bytes * _FOREIGN_TOLERANCE
        ]


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer: bind the replica to this."""

    node: str
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class NodeReason:
    """Why one node cannot take the replica. `what`: closed, vendor, accelerators, memory, cores."""

    node: str
    what: str
    text: str
    needed: float = 0
    available: float = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node can take the replica, and why each cannot."""

    pool: str
    reasons: tuple[NodeReason, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """One sentence with numbers: what is missing, and where the most of it is."""
        if not self.reasons:
            return f"no node in pool {self.pool} has registered yet"
        for what in ("memory", "accelerators", "cores", "vendor"):
            short = [reason for reason in self.reasons if reason.what == what]
            if short:
                best = max(short, key=lambda reason: reason.available)
                return _sentence(self.pool, best)
        return f"no node in pool {self.pool} takes replicas now ({_listed(self.reasons)})"


def _listed(reasons: Iterable[NodeReason]) -> str:
    return "; ".join(f"{reason.node}: {reason.text}" for reason in reasons)


def _sentence(pool: str, best: NodeReason) -> str:
    if best.what == "memory":
        needed, largest = format_bytes(best.needed), format_bytes(best.available)
        return f"no node in pool {pool} has {needed} free (largest: {largest} on node {best.node})"
    if best.what == "accelerators":
        return (
            f"no node in pool {pool} has {best.needed:.0f} free accelerators that fit"
            f" (largest: {best.available:.0f} on node {best.node}: {best.text})"
        )
    if best.what == "cores":
        return f"no node in pool {pool} can give {best.needed:g} cores (node {best.node}: {best.text})"
    return f"no node in pool {pool} fits (node {best.node}: {best.text})"


Filter = Callable[[Requirement, NodeCapacity, Snapshot], NodeReason | None]


def _open(_: Requirement, node: NodeCapacity, __: Snapshot) -> NodeReason | None:
    return NodeReason(node.name, "closed", node.unschedulable) if node.unschedulable else None


def _has_vendor(need: Requirement, node: NodeCapacity, _: Snapshot) -> NodeReason | None:
    if need.vendor == CPU or any(device.vendor == need.vendor for device in node.devices):
        return None
    return NodeReason(node.name, "vendor", f"it has no {need.vendor} accelerator")


def _has_accelerators(need: Requirement, node: NodeCapacity, snapshot: Snapshot) -> NodeReason | None:
    if need.accelerators == 0:
        return None
    total = sum(device.vendor == need.vendor for device in node.devices)
    free = len(_candidates(need, node, snapshot))
    if free >= need.accelerators:
        return None
    largest = max((device.memory_bytes for device in node.devices if device.vendor == need.vendor), default=0)
    if largest < need.accelerator_memory_bytes:
        text = f"its largest accelerator has {format_bytes(largest)}"
        return NodeReason(node.name, "memory", text, need.accelerator_memory_bytes, largest)
    text = f"{free} of {total} accelerators are free"
    return NodeReason(node.name, "accelerators", text, need.accelerators, free)


def _has_memory(need: Requirement, node: NodeCapacity, snapshot: Snapshot) -> NodeReason | None:
    free = snapshot.memory_free(node)
    if free >= need.memory_bytes:
        return None
    return NodeReason(node.name, "memory", f"{format_bytes(free)} of memory are free", need.memory_bytes, free)


def _has_cores(need: Requirement, node: NodeCapacity, snapshot: Snapshot) -> NodeReason | None:
    if need.cpu_cores > node.cpu_cores:
        return NodeReason(node.name, "cores", f"it has {node.cpu_cores:g} cores", need.cpu_cores, node.cpu_cores)
    left = node.cpu_cores * CPU_SHARING - snapshot.cores_given(node)
    if left >= need.cpu_cores:
        return None
    text = f"its {node.cpu_cores:g} cores are already shared {CPU_SHARING:g} times"
    return NodeReason(node.name, "cores", text, need.cpu_cores, max(0.0, left))


FILTERS: Sequence[Filter] = (_open, _has_vendor, _has_accelerators, _has_memory, _has_cores)


def _candidates(need: Requirement, node: NodeCapacity, snapshot: Snapshot) -> list[Device]:
    return [
        device
        for device in snapshot.devices_free(node, need.vendor)
        if device.memory_bytes >= need.accelerator_memory_bytes
    ]


def _score(need: Requirement, node: NodeCapacity, snapshot: Snapshot, service: str) -> tuple[float, ...]:
    """Lower is better: spread a service over nodes, then uncrowded cores, then the tightest memory, then the name."""
    same = sum(item.service == service for item in snapshot.on(node.id))
    crowding = max(0.0, snapshot.cores_given(node) + need.cpu_cores - node.cpu_cores)
    spare = len(_candidates(need, node, snapshot)) if need.accelerators else 0
    return (same, crowding, spare, snapshot.memory_free(node))


def place(need: Requirement, snapshot: Snapshot, service: str = "") -> Placement | Refusal:
    """The best node for one replica of `service`, or why there is none."""
    reasons: list[NodeReason] = []
    open_nodes: list[NodeCapacity] = []
    for node in snapshot.nodes:
        if node.pool != need.pool:
            continue
        reason = next((found for check in FILTERS if (found := check(need, node, snapshot)) is not None), None)
        if reason is None:
            open_nodes.append(node)
        else:
            reasons.append(reason)
    if not open_nodes:
        return Refusal(need.pool, tuple(reasons))
    best = min(open_nodes, key=lambda node: (_score(need, node, snapshot, service), node.name))
    return Placement(best.name, _bind(need, best, snapshot))


def _bind(need: Requirement, node: NodeCapacity, snapshot: Snapshot) -> Allocation:
    if need.vendor == CPU:
        shares = _cpu_shares(need, node)
    else:
        # The smallest accelerators that fit, so that large ones stay free for what needs them.
        chosen = sorted(_candidates(need, node, snapshot), key=lambda device: (device.memory_bytes, device.index))
        shares = [
            DeviceShare(
                vendor=device.vendor,
                device_id=device.device_id,
                index=device.index,
                memory_bytes=need.accelerator_memory_bytes,
            )
            for device in chosen[: need.accelerators]
        ]
    return Allocation(node_id=node.id, devices=shares, cpu_cores=need.cpu_cores, memory_bytes=need.memory_bytes)


def _cpu_shares(need: Requirement, node: NodeCapacity) -> list[DeviceShare]:
    percent = max(1, min(100, round(100 * need.cpu_cores / node.cpu_cores)))
    return [
        DeviceShare(
            vendor=CPU,
            device_id=device.device_id,
            index=device.index,
            compute_percent=percent,
            memory_bytes=need.memory_bytes,
        )
        for device in node.devices
        if device.vendor == CPU
    ][:1]


def relief(need: Requirement, snapshot: Snapshot, service: str) -> list[str]:
    """Names of other services each of which would make room if it were stopped, at most three."""
    names = {item.service for item in snapshot.commitments} - {service}
    room = [
        name
        for name in sorted(names)
        if isinstance(place(need, snapshot.without(lambda item, name=name: item.service == name), service), Placement)
    ]
    return room[:3]
