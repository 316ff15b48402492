"""Why something has no place: the checks of one node, each with its reason in words, and their sum in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from aicp.core.quantity import format_bytes
from aicp.core.slice import SliceRequest, size_slice
from aicp.scheduler.resources import CPU, Requirement
from aicp.scheduler.room import CPU_SHARING, DeviceRoom, NodeRoom, Part, largest_bytes


@dataclass(frozen=True, slots=True)
class NodeReason:
    """Why one node cannot take the replica. `what`: closed, labels, vendor, uncut, size, slice, accelerators, memory,
    cores.

    `available` against `needed` tells which node is nearest to taking it.
    """

    node: str
    what: str
    text: str
    needed: float = 0
    available: float = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node can take the replica, and why each cannot; `others` counts nodes whose reasons are not listed, none of
    them nearer to taking it. `blocked` says what else forbids it, a quota for example."""

    pool: str
    reasons: tuple[NodeReason, ...] = field(default=())
    others: int = 0
    blocked: str | None = None

    @property
    def sentence(self) -> str:
        """One sentence with numbers: what is missing, and where the most of it is."""
        if self.blocked is not None:
            return self.blocked
        if not self.reasons:
            return f"no node in pool {self.pool} has registered yet"
        for what in ("slice", "memory", "accelerators", "cores", "size", "uncut", "labels", "vendor"):
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
    if best.what == "slice":
        return f"no node in pool {pool} has room for the slice (node {best.node}: {best.text})"
    return f"no node in pool {pool} fits (node {best.node}: {best.text})"


Filter = Callable[[Requirement, NodeRoom], NodeReason | None]


def refuse(need: Requirement, room: NodeRoom) -> NodeReason | None:
    """The first reason why the node cannot take what is needed; None when it can."""
    return next((reason for check in FILTERS if (reason := check(need, room)) is not None), None)


def _open(_: Requirement, room: NodeRoom) -> NodeReason | None:
    node = room.node
    return NodeReason(node.name, "closed", node.unschedulable) if node.unschedulable else None


def _has_labels(need: Requirement, room: NodeRoom) -> NodeReason | None:
    node = room.node
    missing = ", ".join(f"{name}={value}" for name, value in need.selector if node.labels.get(name) != value)
    if missing:
        return NodeReason(node.name, "labels", f"it lacks the label {missing}")
    kept_off = ", ".join(taint for taint in node.taints if not need.tolerates(taint))
    if kept_off:
        return NodeReason(node.name, "labels", f"it is kept for replicas that tolerate {kept_off}")
    return None


def _has_vendor(need: Requirement, room: NodeRoom) -> NodeReason | None:
    if (need.vendor == CPU and need.slice is None) or room.usable(need):
        return None
    mine = [item.device for item in room.of_vendor(need.vendor) if need.product in (None, item.device.product)]
    text = f"it has no {need.vendor} accelerator" if need.product is None else f"it has no {need.product}"
    if mine:
        text = f"its accelerators are reserved for {', '.join(sorted({item.reserved_for or '' for item in mine}))}"
    return NodeReason(room.node.name, "vendor", text)


def _has_accelerators(need: Requirement, room: NodeRoom) -> NodeReason | None:
    if need.slice is not None or need.accelerators == 0:
        return None
    mine = room.usable(need)
    free = len(room.whole(need))
    if free >= need.accelerators:
        if room.choose_whole(need):
            return None
        text = f"{free} of {len(mine)} accelerators are free, but not {need.accelerators} of one product"
        return NodeReason(room.node.name, "accelerators", text, need.accelerators, free)
    largest = max((item.device.memory_bytes for item in mine), default=0)
    if largest < need.accelerator_memory_bytes:
        text = f"its largest accelerator has {format_bytes(largest)}"
        return NodeReason(room.node.name, "memory", text, need.accelerator_memory_bytes, largest)
    text = f"{free} of {len(mine)} accelerators are free"
    kept, who = _reserved(need, room)
    if kept:
        text = f"{free} of {len(mine)} accelerators are free, and {kept} more are reserved for {who}"
    return NodeReason(room.node.name, "accelerators", text, need.accelerators, free)


def _reserved(need: Requirement, room: NodeRoom) -> tuple[int, str]:
    """How many accelerators of the kind are reserved for others, and for whom."""
    names = [item.device.reserved_for for item in room.of_vendor(need.vendor) if item.device.reserved_for]
    others = [name for name in names if name != need.project]
    return len(others), ", ".join(sorted(set(others)))


def _can_be_cut(need: Requirement, room: NodeRoom) -> NodeReason | None:
    """Whether any of its devices could ever give so large a slice."""
    if need.slice is None:
        return None
    mine = [item for item in room.usable(need) if item.device.slicing]
    if not mine:
        text = f"its {need.vendor} accelerators cannot be cut; ask for whole ones"
        return NodeReason(room.node.name, "uncut", text)
    if sum(_could_ever(need.slice, item) for item in mine) >= need.devices:
        return None
    if need.devices > len(mine):
        text = f"{need.devices} slices need as many accelerators, and {len(mine)} of it can be cut"
        return NodeReason(room.node.name, "size", text, need.devices, len(mine))
    best = max(mine, key=lambda item: (item.device.memory_bytes, -item.device.index))
    if all(need.slice.policy not in way.policies for item in mine for way in item.device.slicing):
        names = ", ".join(sorted({way.mechanism for item in mine for way in item.device.slicing}))
        text = f"{best.device.label} is cut by {names}, which does not know the policy {need.slice.policy.value}"
        return NodeReason(room.node.name, "size", text)
    most = Part(100, max(largest_bytes(best.device, way) for way in best.device.slicing))
    text = f"the most of {best.device.label} is {_part(most)}; {_asked(need.slice)} were asked"
    return NodeReason(room.node.name, "size", text, need.slice.memory_bytes, most.memory_bytes)


def _could_ever(asked: SliceRequest, item: DeviceRoom) -> bool:
    sizes = ((way, size_slice(asked, way)) for way in item.device.slicing)
    return any(size is not None and size.memory_bytes <= largest_bytes(item.device, way) for way, size in sizes)


def _has_slice(need: Requirement, room: NodeRoom) -> NodeReason | None:
    if need.slice is None:
        return None
    found = len(room.parts(need))
    if found >= need.devices:
        return None
    asked = need.slice
    if found:
        text = f"{found} of {need.devices} accelerators have {_asked(asked)} free"
        return NodeReason(room.node.name, "slice", text, need.devices, found)
    nearest, part = max(
        ((item, largest_part(item, asked, room.memory_free)) for item in room.usable(need)),
        key=lambda pair: (_nearness(asked, pair[1]), -pair[0].device.index),
    )
    text = f"largest free part is {_part(part)} of {nearest.device.label}; {_asked(asked)} were asked"
    kept, who = _reserved(need, room)
    if kept:
        text = f"{text}, and {kept} more accelerators are reserved for {who}"
    return NodeReason(room.node.name, "slice", text, 1, _nearness(asked, part))


def largest_part(item: DeviceRoom, asked: SliceRequest, host_free: int) -> Part:
    """The largest part of a device that could still become a slice of the kind asked; nothing where none could."""
    parts = [item.part(way, host_free) for way in item.ways() if asked.policy in way.policies]
    return max(parts, key=lambda part: _nearness(asked, part), default=Part(0, 0))


def _nearness(asked: SliceRequest, part: Part) -> float:
    """How near a part is to what is asked: below 1 it lacks something."""
    return min(part.compute_percent / asked.compute_percent, part.memory_bytes / asked.memory_bytes)


def _part(part: Part) -> str:
    return f"{part.compute_percent} % and {format_bytes(part.memory_bytes)}"


def _asked(asked: SliceRequest) -> str:
    return _part(Part(asked.compute_percent, asked.memory_bytes))


def _has_memory(need: Requirement, room: NodeRoom) -> NodeReason | None:
    free = room.memory_free
    if _brings_its_own(need) or free >= need.memory_bytes:
        return None
    return NodeReason(room.node.name, "memory", f"{format_bytes(free)} of memory are free", need.memory_bytes, free)


def _has_cores(need: Requirement, room: NodeRoom) -> NodeReason | None:
    node = room.node
    if _brings_its_own(need):
        return None
    if need.cpu_cores > node.cpu_cores:
        return NodeReason(node.name, "cores", f"it has {node.cpu_cores:g} cores", need.cpu_cores, node.cpu_cores)
    if room.cores_left >= need.cpu_cores:
        return None
    text = f"its {node.cpu_cores:g} cores are already shared {CPU_SHARING:g} times"
    return NodeReason(node.name, "cores", text, need.cpu_cores, max(0.0, room.cores_left))


def _brings_its_own(need: Requirement) -> bool:
    """A slice of the `cpu` device is made of the host's cores and memory, and was checked as such."""
    return need.vendor == CPU and need.slice is not None


FILTERS: Sequence[Filter] = (
    _open,
    _has_labels,
    _has_vendor,
    _has_accelerators,
    _can_be_cut,
    _has_slice,
    _has_memory,
    _has_cores,
)
