"""Reservations: accelerators that only one project may have, for a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from aicp.scheduler.resources import Device, NodeCapacity, Snapshot


@dataclass(frozen=True, slots=True)
class Reservation:
    """Accelerators of one node, all of them where none is named, for one project between two times.

    What others run there already stays until it ends.
    """

    project: str
    node_id: str
    starts_at: datetime
    ends_at: datetime
    device_ids: frozenset[str] = frozenset()

    def covers(self, device: Device, now: datetime) -> bool:
        """Whether the device is reserved by this at that time."""
        return self.starts_at <= now < self.ends_at and (not self.device_ids or device.device_id in self.device_ids)


def with_reservations(snapshot: Snapshot, reservations: Iterable[Reservation], now: datetime) -> Snapshot:
    """The snapshot in which every device knows for whom it is reserved now; of two reservations the earlier counts."""
    by_node: dict[str, list[Reservation]] = {}
    for item in sorted(reservations, key=lambda item: (item.starts_at, item.project)):
        by_node.setdefault(item.node_id, []).append(item)

    def reserved(node: NodeCapacity) -> NodeCapacity:
        mine = by_node.get(node.id)
        if mine is None:
            return node
        return replace(node, devices=tuple(_reserved(device, mine, now) for device in node.devices))

    return replace(snapshot, nodes=tuple(reserved(node) for node in snapshot.nodes))


def _reserved(device: Device, reservations: list[Reservation], now: datetime) -> Device:
    project = next((item.project for item in reservations if item.covers(device, now)), None)
    return device if project is None else replace(device, reserved_for=project)
