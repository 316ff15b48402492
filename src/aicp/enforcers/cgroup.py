"""Processor and memory limits by Linux control groups, version 2 or 1.

Files are written with `os.write`: a buffered write would hide the kernel's refusal until close. Limits and orders of
writing follow the kernel's documentation (admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, scheduler/sched-bwc.rst).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aicp.core.launch import Allocation
from aicp.core.quantity import format_bytes
from aicp.core.slice import SlicePolicy
from aicp.enforcers.base import Applied, Consumption

NAME = "cgroup"
_PERIOD_MICROSECONDS = 100_000
_LEAST_QUOTA_MICROSECONDS = 1_000  # the kernel refuses less
_CONTROLLERS = ("cpu", "memory", "cpuacct")
_PARENT = "aicp"
_WEIGHT_OF_PERCENT = 2.56
"""A slice's weight in version 1 for each percent of the card, in cores of an engine that was promised nothing: slices
stand to each other as their shares, and above the others. A hundred make the most that can be written (262144 = 256 x
1024). Version 2 can write 10000 at most, so there each percent weighs as one such core."""
_FAVOR = 20
"""Weight of all engines together against the rest of the machine, once one of them was promised a share."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """Processor time of one group: at most `quota` microseconds of each period (None: all there is), and its `weight`
    against others where there is not enough for all; 1 is what a busy core of an unsliced engine weighs."""

    quota: int | None
    weight: float
    percent: int | None = None
    """Of the card, for a slice."""


@dataclass(frozen=True, slots=True)
class _Unified:
    """One group directory of version 2."""

    directory: Path

    def limit_cores(self, claim: _Claim) -> None:
        _write(self.directory / "cpu.max", f"{claim.quota or 'max'} {_PERIOD_MICROSECONDS}")
        # the quota is only a cap; the weight is what a busy machine owes the group
        weight = claim.weight if claim.percent is None else claim.percent
        _write(self.directory / "cpu.weight", str(min(10_000, max(1, round(weight * 100)))))
        if claim.percent is not None:
            _write(self.directory.parent / "cpu.weight", str(100 * _FAVOR))

    def limit_memory(self, count: int) -> None:
        # the kernel would rather end a process than refuse a limit below what is in use
        held = sum(_field(self.directory / "memory.stat", name) or 0 for name in ("anon", "shmem"))
        if held > count:
            raise OSError(errno.EBUSY, f"{format_bytes(held)} are in use")
        _write(self.directory / "memory.max", str(count))
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with suppress(OSError):
                _write(self.directory / name, value)

    def usage(self) -> Consumption:
        microseconds = _field(self.directory / "cpu.stat", "usage_usec")
        return Consumption(
            memory_bytes=_number(self.directory / "memory.current"),
            memory_peak_bytes=_number(self.directory / "memory.peak"),
            cpu_seconds=None if microseconds is None else microseconds / 1e6,
            out_of_memory_kills=_field(self.directory / "memory.events", "oom_kill"),
        )

    def directories(self) -> list[Path]:
        return [self.directory]


@dataclass(frozen=True, slots=True)
class _Legacy:
    """The group's directory in each hierarchy of version 1 that can be written; None where it cannot."""

    cpu: Path | None
    memory: Path | None
    account: Path | None
    """Of the controller that counts processor time; on many machines the same directory as `cpu`."""

    def limit_cores(self, claim: _Claim) -> None:
        if self.cpu is None:
            raise OSError("the cpu controller cannot be written")
        _write(self.cpu / "cpu.cfs_period_us", str(_PERIOD_MICROSECONDS))
        _write(self.cpu / "cpu.cfs_quota_us", str(claim.quota or -1))
        weight = claim.weight if claim.percent is None else claim.percent * _WEIGHT_OF_PERCENT
        _write(self.cpu / "cpu.shares", str(min(262_144, max(2, round(weight * 1024)))))
        if claim.percent is not None:
            _write(self.cpu.parent / "cpu.shares", str(1024 * _FAVOR))

    def limit_memory(self, count: int) -> None:
        if self.memory is None:
            raise OSError("the memory controller cannot be written")
        names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        # memory plus swap may at no moment be less than memory alone
        if count > (_number(self.memory / names[0]) or 0):
            names.reverse()
        for name in names:
            if (self.memory / name).exists():
                _write(self.memory / name, str(count))

    def usage(self) -> Consumption:
        nanoseconds = _number(self.account / "cpuacct.usage") if self.account is not None else None
        seconds = None if nanoseconds is None else nanoseconds / 1e9
        if self.memory is None:
            return Consumption(cpu_seconds=seconds)
        return Consumption(
            cpu_seconds=seconds,
            memory_bytes=_number(self.memory / "memory.usage_in_bytes"),
            memory_peak_bytes=_number(self.memory / "memory.max_usage_in_bytes"),
            out_of_memory_kills=_field(self.memory / "memory.oom_control", "oom_kill"),
        )

    def directories(self) -> list[Path]:
        return list(dict.fromkeys(path for path in (self.cpu, self.memory, self.account) if path is not None))


class CgroupEnforcer:
    """Groups lie under `aicp/` in the nearest group at or above our own that may have children with limits."""

    def __init__(self, mount: Path = Path("/sys/fs/cgroup"), memberships: Path = Path("/proc/self/cgroup")) -> None:
        self._mount = mount
        self._memberships = memberships

    def unavailable(self) -> str | None:
        return None if self._parent("cpu") is not None else "control groups are not writable here"

    def apply(self, group: str, allocation: Allocation) -> Applied:
        found = self._make(group)
        if found is None:
            return Applied(False, "no limits: control groups are not writable here")
        sliced = any(share.mechanism == NAME for share in allocation.devices)
        done: list[str] = []
        missed: list[str] = []
        # memory first: a slice whose memory cannot shrink keeps its processor time too
        if allocation.memory_bytes > 0:
            try:
                found.limit_memory(allocation.memory_bytes)
                done.append(f"{format_bytes(allocation.memory_bytes)} of host memory")
            except OSError as error:
                missed.append(f"memory ({error})")
        if not (sliced and missed):
            try:
                done.insert(0, _limit_cores(found, allocation))
            except OSError as error:
                missed.append(f"processor time ({error})")
        note = f"limits by cgroup: {', '.join(done) or 'none'}"
        if missed:
            note += f"; not limited: {', '.join(missed)}"
        # half a slice is none: its neighbors were promised the rest
        enforced = not missed if sliced else bool(done)
        return Applied(enforced, note, tuple(str(path / "cgroup.procs") for path in found.directories()))

    def usage(self, group: str) -> Consumption:
        found = self._find(group)
        return found.usage() if found is not None else Consumption()

    def pids(self, group: str) -> list[int]:
        found = self._find(group)
        pids: set[int] = set()
        for directory in found.directories() if found is not None else []:
            with suppress(OSError):
                pids.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
        return sorted(pids)

    def release(self, group: str) -> bool:
        found = self._find(group)
        gone = True
        for directory in found.directories() if found is not None else []:
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone

    def can_resize(self) -> bool:
        return self._parent("cpu") is not None

    def _find(self, group: str) -> _Unified | _Legacy | None:
        """The group if it exists, in whatever hierarchies it does."""
        unified = self._unified_parent()
        if unified is not None:
            return _Unified(unified / group) if (unified / group).is_dir() else None
        parents = [self._parent(controller) for controller in _CONTROLLERS]
        found = [parent / group if parent is not None and (parent / group).is_dir() else None for parent in parents]
        return _Legacy(*found) if any(found) else None

    def _make(self, group: str) -> _Unified | _Legacy | None:
        for controller in _CONTROLLERS:
            with suppress(OSError):
                if (parent := self._parent(controller)) is not None:
                    (parent / group).mkdir(exist_ok=True)
        return self._find(group)

    def _parent(self, controller: str) -> Path | None:
        """Directory `aicp` for a controller's groups, made when missing; None when it cannot be."""
        unified = self._unified_parent()
        if unified is not None:
            return unified
        for membership in self._own(controller):
            return _make_parent(self._mount / controller, membership)
        return None

    def _unified_parent(self) -> Path | None:
        for membership in self._own(""):
            for directory in _upwards(self._mount, membership):
                if _can_delegate(directory):
                    with suppress(OSError):
                        (directory / _PARENT).mkdir(exist_ok=True)
                        _write(directory / _PARENT / "cgroup.subtree_control", "+cpu +memory")
                        return directory / _PARENT
        return None

    def _own(self, controller: str) -> Iterator[str]:
        """Our own group's path in the hierarchy of `controller`; "" is the one of version 2."""
        with suppress(OSError):
            for line in self._memberships.read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                if controller in controllers.split(","):
                    yield path


def _limit_cores(group: _Unified | _Legacy, allocation: Allocation) -> str:
    cores = allocation.cpu_cores
    quota = max(_LEAST_QUOTA_MICROSECONDS, round(cores * _PERIOD_MICROSECONDS))
    share = next((share for share in allocation.devices if share.mechanism == NAME), None)
    if share is None:
        whole_machine = cores >= (os.cpu_count() or 1)
        group.limit_cores(_Claim(None if whole_machine else quota, cores))
        return "every core" if whole_machine else f"{quota / _PERIOD_MICROSECONDS:g} cores"
    borrows = share.policy == SlicePolicy.WEIGHT
    group.limit_cores(_Claim(None if borrows else quota, cores, share.compute_percent))
    size = f"{share.compute_percent} % of the card ({quota / _PERIOD_MICROSECONDS:g} cores)"
    return f"at least {size}, more while others leave it" if borrows else size


def _can_delegate(directory: Path) -> bool:
    """Whether children of a version 2 group can have limits; a group with processes of its own cannot give them."""
    try:
        if not {"cpu", "memory"} <= set((directory / "cgroup.controllers").read_text().split()):
            return False
        enabled = set((directory / "cgroup.subtree_control").read_text().split())
        if not {"cpu", "memory"} <= enabled:
            _write(directory / "cgroup.subtree_control", "+cpu +memory")
    except OSError:
        return False
    return os.access(directory, os.W_OK)


def _make_parent(mount: Path, membership: str) -> Path | None:
    for directory in _upwards(mount, membership):
        with suppress(OSError):
            (directory / _PARENT).mkdir(exist_ok=True)
            return directory / _PARENT
    return None


def _upwards(mount: Path, membership: str) -> Iterator[Path]:
    """Our own group's directory and those above it, up to the mount."""
    directory = mount / membership.lstrip("/")
    while True:
        if directory.is_dir():
            yield directory
        if directory == mount:
            return
        directory = directory.parent


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _number(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _field(path: Path, name: str) -> int | None:
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return None


driver = CgroupEnforcer()
