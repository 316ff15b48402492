"""The card map of one node: what is given away of each device and of the host, kept up as allocations come and go.

A device is taken whole or cut into slices, never both, and is cut by one mechanism at a time: a card that MIG divided
is not also shared through MPS. Replicas without a slice on the `cpu` device share its cores in time and leave its
hundredths alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import MIB
from aicp.core.slice import SliceRequest, SliceSize, Slicing, size_slice
from aicp.scheduler.resources import CPU, Commitment, Device, NodeCapacity, PoolPolicy, Requirement
from aicp.scheduler.topology import nearest

CPU_SHARING = 8.0
"""How many times its cores a node may give away; beyond it every engine would crawl."""
SLICE_RESERVE_BYTES = 256 * MIB
"""Memory of a cut accelerator that no slice gets: the driver's contexts lie there. Fixed shapes are net of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What can still be had of a device at most, as one slice."""

    compute_percent: int
    memory_bytes: int


class DeviceRoom:
    """One device and what is given away of it."""

    __slots__ = ("compute", "device", "mechanism", "memory", "slices", "whole")

    def __init__(self, device: Device) -> None:
        self.device = device
        self.whole = 0
        self.slices = 0
        self.compute = 0
        self.memory = 0
        self.mechanism: str | None = None

    def add(self, share: DeviceShare) -> None:
        """Counts a share as given."""
        if share.mechanism is not None:
            self.slices += 1
            self.compute += share.compute_percent
            self.memory += share.memory_bytes
            self.mechanism = share.mechanism
        elif share.vendor != CPU:
            self.whole += 1

    def remove(self, share: DeviceShare) -> None:
        """Takes back what `add` counted."""
        if share.mechanism is not None:
            self.slices -= 1
            self.compute -= share.compute_percent
            self.memory -= share.memory_bytes
            if not self.slices:
                self.mechanism = None
        elif share.vendor != CPU:
            self.whole -= 1

    @property
    def free_whole(self) -> bool:
        """Whether it can be given as a whole: healthy, nothing of it given, and not filled by others."""
        return not self.whole and not self.slices and self.device.untouched

    def ways(self) -> Iterable[Slicing]:
        """Ways in which a further slice of it could be made now."""
        if self.whole or not self.device.healthy:
            return ()
        if self.mechanism is None:
            return self.device.slicing
        return tuple(
            way
            for way in self.device.slicing
            if way.mechanism == self.mechanism and (way.at_most is None or self.slices < way.at_most)
        )

    def part(self, way: Slicing, host_free: int) -> Part:
        """The largest slice that `way` could still make; `host_free` is the node's free memory, for vendor `cpu`."""
        if self.device.vendor == CPU:
            return Part(100 - self.compute, host_free)
        left = max(0, cuttable_bytes(self.device, way) - self.memory)
        return Part(100 - self.compute, min(left, largest_bytes(self.device, way)))

    def size(self, asked: SliceRequest, host_free: int) -> SliceSize | None:
        """The slice that this device would give for what is asked, by the best way that has room for it."""
        for way in self.ways():
            size = size_slice(asked, way)
            if size is None:
                continue
            left = self.part(way, host_free)
            if size.compute_percent <= left.compute_percent and size.memory_bytes <= left.memory_bytes:
                return size
        return None


def cuttable_bytes(device: Device, way: Slicing) -> int:
    """Memory of a device that may be promised to its slices together."""
    own = largest_bytes(device, way)
    return int(own * device.memory_factor) if way.oversubscribable else own


def largest_bytes(device: Device, way: Slicing) -> int:
    """Memory that one slice may have: never more than there is."""
    reserve = 0 if way.profiles or device.vendor == CPU else SLICE_RESERVE_BYTES
    return max(0, device.memory_bytes - device.foreign_bytes - reserve)


class NodeRoom:
    """One node and what is given away of it."""

    __slots__ = ("_by_id", "_millicores", "devices", "memory_given", "node", "policy", "services")

    def __init__(
        self, node: NodeCapacity, commitments: Iterable[Commitment] = (), policy: PoolPolicy | None = None
    ) -> None:
        self.node = node
        self.policy = policy or PoolPolicy()
        self.devices = [DeviceRoom(device) for device in node.devices]
        self._millicores = 0
        self.memory_given = 0
        self.services: dict[str, int] = {}
        self._by_id = {(room.device.vendor, room.device.device_id): room for room in self.devices}
        for item in commitments:
            self.add(item.service, item.allocation)

    def add(self, service: str, allocation: Allocation) -> None:
        """Counts an allocation as given."""
        self._millicores += round(1000 * allocation.cpu_cores)
        self.memory_given += allocation.memory_bytes
        self.services[service] = self.services.get(service, 0) + 1
        for share in allocation.devices:
            self.share(share)

    def remove(self, service: str, allocation: Allocation) -> None:
        """Takes back what `add` counted."""
        self._millicores -= round(1000 * allocation.cpu_cores)
        self.memory_given -= allocation.memory_bytes
        left = self.services.pop(service) - 1
        if left:
            self.services[service] = left
        for share in allocation.devices:
            self.unshare(share)

    def share(self, share: DeviceShare) -> None:
        """Counts one share as given; of a device that is gone nothing is."""
        room = self._by_id.get((share.vendor, share.device_id))
        if room is not None:
            room.add(share)

    def unshare(self, share: DeviceShare) -> None:
        """Takes back what `share` counted."""
        room = self._by_id.get((share.vendor, share.device_id))
        if room is not None:
            room.remove(share)

    @property
    def memory_free(self) -> int:
        """Host memory that is neither promised nor held by others."""
        return max(0, self.node.memory_bytes - self.node.foreign_bytes - self.memory_given)

    @property
    def cores_given(self) -> float:
        """Cores in allocations; may be more than the node has. Counted in thousandths, so that nothing drifts."""
        return self._millicores / 1000

    @property
    def cores_left(self) -> float:
        """Cores that may still be given; cores are shared in time."""
        return self.node.cpu_cores * CPU_SHARING - self.cores_given

    def of_vendor(self, vendor: str) -> list[DeviceRoom]:
        """Its devices of one vendor."""
        return [room for room in self.devices if room.device.vendor == vendor]

    def usable(self, need: Requirement) -> list[DeviceRoom]:
        """Devices of the vendor and product that is wanted and that are not reserved for another project."""
        return [room for room in self.of_vendor(need.vendor) if is_usable(need, room.device)]

    def whole(self, need: Requirement) -> list[DeviceRoom]:
        """Free devices that are large enough; those reserved for the project first, then the smallest, so that large
        ones stay free for what needs them."""
        found = [
            room
            for room in self.usable(need)
            if room.free_whole and room.device.memory_bytes >= need.accelerator_memory_bytes
        ]
        return sorted(
            found, key=lambda item: (not item.device.reserved_for, item.device.memory_bytes, item.device.index)
        )

    def choose_whole(self, need: Requirement) -> list[DeviceRoom]:
        """The devices for a replica: of one product where that is possible, with the fastest links; empty when none."""
        free = self.whole(need)
        if need.accelerators == 1 or len(free) < need.accelerators:
            return free[: need.accelerators] if len(free) >= need.accelerators else []
        alike: dict[tuple[int, str], list[DeviceRoom]] = {}
        for item in free:
            alike.setdefault((item.device.memory_bytes, item.device.product), []).append(item)
        group = next((items for _, items in sorted(alike.items()) if len(items) >= need.accelerators), None)
        if group is None:
            group = free if self.policy.unlike else []
        by_id = {item.device.device_id: item for item in group}
        return [by_id[device_id] for device_id in nearest(list(by_id), need.accelerators, self.node.links)]

    def parts(self, need: Requirement) -> list[tuple[DeviceRoom, SliceSize]]:
        """Devices that have room for the slice: those reserved for the project, those that are cut already, then the
        fullest first."""
        assert need.slice is not None
        free = self.memory_free // need.devices if need.vendor == CPU else self.memory_free
        found = [(item, size) for item in self.usable(need) if (size := item.size(need.slice, free)) is not None]
        return sorted(found, key=lambda pair: _tightness(*pair))


def is_usable(need: Requirement, device: Device) -> bool:
    """Whether a device is of the wanted product and not reserved for another project."""
    return (need.product is None or device.product == need.product) and device.reserved_for in (None, need.project)


def _tightness(room: DeviceRoom, size: SliceSize) -> tuple[float, ...]:
    memory = max(1, room.device.memory_bytes)
    left = (100 - room.compute - size.compute_percent) / 100 + (memory - room.memory - size.memory_bytes) / memory
    return (not room.device.reserved_for, not room.slices, left, room.device.memory_bytes, room.device.index)
