"""Compute units of an AMD GPU for one group alone, by the mask that ROCm's runtime reads (HSA_CU_MASK).

Syntax after ROCm's page "Setting the number of CUs"; sizes from the topology that the kernel's driver shows (amdkfd).
The runtime ignores a mask that it cannot represent, so units are given in pieces that it can: pairs where two units
form a workgroup processor, one unit of every die where a device has several. No real device was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.slice import SlicePolicy
from aicp.enforcers._ledger import Groups, Ledger
from aicp.enforcers.base import Applied, Consumption

MECHANISM = "amd_cu_mask"
VENDOR = "amd"
_TOPOLOGY = Path("/sys/class/kfd/kfd/topology/nodes")
_UNIQUE = re.compile(r"GPU-[0-9a-f]{16}")
_PAIRED_FROM = 100_000  # gfx_target_version of the first devices with workgroup processors, gfx10.0.0
_SEVERAL_DIES = 90_400  # gfx9.4: its driver must say how many dies there are


class _MisfitError(Exception):
    """What was asked cannot be given; the text says why."""


@dataclass(frozen=True, slots=True)
class _Device:
    """`units` of a GPU; a mask must hold whole pieces of `piece` units, each beginning at a multiple of it."""

    unique_id: str
    units: int
    piece: int


class AmdCuMaskEnforcer:
    """No unit is ever in the masks of two groups. Memory is not limited by a mask, and the note says so."""

    def __init__(self, directory: Path | None = None, topology: Path = _TOPOLOGY) -> None:
        self._ledger = Ledger(MECHANISM, directory)
        self._topology = topology
        self._ended: set[str] = set()

    def keep_in(self, directory: Path) -> None:
        self._ledger.keep_in(directory)

    def unavailable(self) -> str | None:
        if self._devices():
            return None
        return "the kernel's driver for ROCm shows no GPU (amdkfd is not loaded)"

    def apply(self, group: str, allocation: Allocation) -> Applied:
        devices = [share for share in allocation.devices if share.vendor == VENDOR]
        if not any(share.mechanism == MECHANISM for share in devices):
            return Applied(False, "no slice is held by a mask of compute units")
        problem = self.unavailable()
        if problem is None:
            try:
                self._ended.discard(group)
                with suppress(OSError):
                    self._forget_ended()
                with self._ledger.opened() as groups:
                    return self._mask(groups, group, devices)
            except (_MisfitError, OSError) as error:
                problem = str(error)
        return Applied(False, f"accelerator slices are not enforced: {problem}")

    def usage(self, group: str) -> Consumption:
        return Consumption()

    def pids(self, group: str) -> list[int]:
        return []

    def release(self, group: str) -> bool:
        """False also where the ledger cannot be written now: it is tried again whenever a slice starts or ends."""
        self._ended.add(group)
        try:
            self._forget_ended()
        except OSError:
            return False
        return True

    def _forget_ended(self) -> None:
        """On a full disk nothing else says that their units are free. Raises OSError, and then they stay taken."""
        ended = set(self._ended)
        if ended:
            with self._ledger.opened() as groups:
                for group in ended:
                    groups.pop(group, None)
            self._ended -= ended

    def _mask(self, groups: Groups, group: str, devices: Sequence[DeviceShare]) -> Applied:
        """Raises _MisfitError, and then nothing is written."""
        held = groups.get(group, {})
        given: dict[str, list[int]] = {}
        notes: list[str] = []
        known = self._devices()
        by_number = all(_UNIQUE.fullmatch(share.device_id) for share in devices)
        sets: list[str] = []
        for place, share in enumerate(devices):
            if share.mechanism != MECHANISM:
                continue
            device = _find(known, share)
            others = (parts.get(share.device_id, []) for name, parts in groups.items() if name != group)
            units = _choose(device, share, held.get(share.device_id, []), {unit for part in others for unit in part})
            given[share.device_id] = units
            # the runtime counts what ROCR_VISIBLE_DEVICES shows, which is set where devices have numbers of their own
            sets.append(f"{place if by_number else share.index}:{_ranges(units)}")
            notes.append(_describe(share, len(units), device))
        groups[group] = given
        return Applied(
            True,
            f"accelerator slices by compute units: {', '.join(notes)}; their memory is not limited",
            env={"HSA_CU_MASK": ";".join(sets)},
        )

    def _devices(self) -> list[_Device]:
        """GPUs in the kernel's order, which is the runtime's as well. Never raises."""
        found: list[_Device] = []
        with suppress(OSError):
            nodes = (node for node in self._topology.iterdir() if node.name.isdigit())
            for node in sorted(nodes, key=lambda node: int(node.name)):
                with suppress(OSError, ValueError):
                    device = _read(node / "properties")
                    found += [device] if device is not None else []
        return found


def _read(path: Path) -> _Device | None:
    """The GPU of a node of the topology; None for a processor. Raises OSError and ValueError."""
    pairs = (line.split(None, 1) for line in path.read_text().splitlines() if " " in line)
    fields = {name: int(value) for name, value in pairs}
    if fields.get("simd_count", 0) < 1 or fields.get("simd_per_cu", 0) < 1:
        return None
    generation = fields.get("gfx_target_version", 0)
    dies = fields.get("num_xcc", 1 if generation < _SEVERAL_DIES or generation >= _PAIRED_FROM else 0)
    piece = 2 if generation >= _PAIRED_FROM else dies
    return _Device(f"GPU-{fields.get('unique_id', 0):016x}", fields["simd_count"] // fields["simd_per_cu"], piece)


def _find(known: Sequence[_Device], share: DeviceShare) -> _Device:
    if _UNIQUE.fullmatch(share.device_id):
        found = next((device for device in known if device.unique_id == share.device_id), None)
    else:
        found = known[share.index] if share.index < len(known) else None
    if found is None:
        raise _MisfitError(f"the kernel does not show {share.device_id}")
    if found.piece < 1:
        raise _MisfitError(f"the kernel does not say how many dies {share.device_id} has; a newer driver does")
    return found


def _choose(device: _Device, share: DeviceShare, held: Iterable[int], taken: set[int]) -> list[int]:
    """Units for a share: those that the group has first, then the lowest that are free. Raises _MisfitError."""
    if share.policy is not SlicePolicy.CAP:
        raise _MisfitError("units of a mask are one group's alone and cannot be lent; ask for policy cap")
    pieces = round(device.units * share.compute_percent / 100) // device.piece
    if pieces < 1:
        least = 100 * device.piece / device.units
        raise _MisfitError(
            f"{share.compute_percent} % of {share.device_id} is less than its smallest part, "
            f"{device.piece} of {device.units} compute units ({least:.2f} %)"
        )
    starts = range(0, device.units - device.piece + 1, device.piece)
    free = [start for start in starts if not taken.intersection(range(start, start + device.piece))]
    if len(free) < pieces:
        raise _MisfitError(
            f"{share.device_id} has {len(free) * device.piece} free compute units, "
            f"and {pieces * device.piece} are needed"
        )
    mine = set(held)
    kept = sorted(free, key=lambda start: (start not in mine, start))[:pieces]
    return sorted(unit for start in kept for unit in range(start, start + device.piece))


def _ranges(units: Sequence[int]) -> str:
    """`0-3,8-9` of sorted numbers."""
    runs: list[list[int]] = []
    for unit in units:
        if runs and runs[-1][1] == unit - 1:
            runs[-1][1] = unit
        else:
            runs.append([unit, unit])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def _describe(share: DeviceShare, count: int, device: _Device) -> str:
    exact = 100 * count / device.units
    text = f"{count} of {device.units} compute units of {share.device_id}"
    changed = [share.rounding] if share.rounding else []
    if f"{exact:.2f}" != f"{share.compute_percent:.2f}":
        changed.append(f"{share.compute_percent} % became {exact:.2f} %")
    return f"{text} ({', '.join(changed)})" if changed else text


driver = AmdCuMaskEnforcer()
