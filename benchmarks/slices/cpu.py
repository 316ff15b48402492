"""Slices of a card of one processor core: how far the processor time that each gets is from what it was promised.

Every slice is a control group made by the platform's own enforcer, with one process in it that never rests, all of them
on the same core. Counted is the processor time that the kernel charges to each group (version 1: cpuacct, version 2:
cpu.stat), not what the processes believe.

A slice's error is the larger of two, in points (hundredths of the card): what it got beyond what it asked for, and what
it lacks of what it could have had, which is the less of what it asked for and what nobody else used. What others used
is counted by the kernel too: the other slices' groups, and the core's remaining busy and stolen time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import spread

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import MIB
from aicp.core.slice import SlicePolicy
from aicp.enforcers.cgroup import CgroupEnforcer

CASES: dict[str, list[int]] = {
    "30_70": [30, 70],
    "1_5_10_50": [1, 5, 10, 50],
    "eight": [5, 5, 10, 10, 10, 15, 20, 25],
    "one_percent": [1],
}
SECONDS = 10.0
_WARM_SECONDS = 1.0
_BUSY = """
import os, sys
for path in sys.argv[2:]:
    handle = os.open(path, os.O_WRONLY)
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
os.sched_setaffinity(0, {int(sys.argv[1])})
print("in", flush=True)
while True:
    pass
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds of processor time since some beginning: of each group, and of the whole core, idle time left out."""

    at: float
    groups: list[float]
    core: float


def share_of(percent: int, policy: SlicePolicy = SlicePolicy.CAP) -> Allocation:
    """A slice of a card of one core."""
    device = DeviceShare(
        vendor="cpu", device_id="cpu-0", index=0, compute_percent=percent, mechanism="cgroup", policy=policy
    )
    return Allocation(node_id="bench", devices=[device], cpu_cores=percent / 100, memory_bytes=256 * MIB)


@contextmanager
def busy_slices(allocations: Sequence[Allocation], core: int) -> Iterator[tuple[CgroupEnforcer, list[str]]]:
    """Groups with one busy process each. Raises RuntimeError where control groups cannot be written."""
    enforcer = CgroupEnforcer()
    groups = [f"bench-{os.getpid()}-{number}" for number in range(len(allocations))]
    processes: list[subprocess.Popen[str]] = []
    try:
        for group, allocation in zip(groups, allocations, strict=True):
            applied = enforcer.apply(group, allocation)
            if not applied.enforced:
                raise RuntimeError(applied.note)
            command = [sys.executable, "-c", _BUSY, str(core), *applied.join]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
        yield enforcer, groups
    finally:
        for process in processes:
            process.kill()
            process.wait()
        _release(enforcer, groups)


def _release(enforcer: CgroupEnforcer, groups: Sequence[str]) -> None:
    """The kernel needs a moment to see that an ended process has left its group. Raises RuntimeError after 5 s."""
    until = time.monotonic() + 5
    for group in groups:
        while not enforcer.release(group):
            if time.monotonic() > until:
                raise RuntimeError(f"the control group {group} does not become empty")
            time.sleep(0.05)


def read(enforcer: CgroupEnforcer, groups: Sequence[str], core: int) -> Reading:
    """What was used so far."""
    used = [enforcer.usage(group).cpu_seconds or 0.0 for group in groups]
    return Reading(time.monotonic(), used, busy_core_seconds(core))


def shares(before: Reading, after: Reading) -> tuple[list[float], float]:
    """Percent of the core that each group got, and that others used."""
    seconds = after.at - before.at
    got = [100 * (end - begin) / seconds for begin, end in zip(before.groups, after.groups, strict=True)]
    busy = 100 * (after.core - before.core) / seconds
    return got, max(0.0, busy - sum(got))


def error_points(asked: Sequence[int], got: Sequence[float], foreign: float) -> float:
    """The worst slice's distance, in points, from what it was promised."""
    errors: list[float] = []
    for wanted, had in zip(asked, got, strict=True):
        free = 100 - foreign - (sum(got) - had)
        errors.append(max(had - wanted, min(wanted, free) - had))
    return max(errors)


def measure(rounds: int, core: int) -> dict[str, Any]:
    """The error of every case over `rounds` rounds; `error_points` is the worst round of all cases."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, everywhere - {core})
    try:
        return _measure(rounds, core)
    finally:
        os.sched_setaffinity(0, everywhere)


def _measure(rounds: int, core: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    worst: list[float] = []
    for name, asked in CASES.items():
        measured = [_round(asked, core) for _ in range(rounds)]
        errors = [error_points(asked, got, foreign) for got, foreign in measured]
        worst.append(max(errors))
        figures[name] = {
            "asked": asked,
            "error_points": spread(errors),
            "got_worst": [round(value, 2) for value in max(measured, key=lambda item: error_points(asked, *item))[0]],
            "others_percent": spread([foreign for _, foreign in measured]),
        }
    got = list(figures["one_percent"]["error_points"]["runs"])
    return {
        "error_points": {"worst": max(worst), "median": spread(worst)["median"], "cases": figures},
        "one_percent": {**spread(got), "meaning": "points between 1 % and what the slice got, alone on the core"},
        "weights": _weights(core),
        "load_average": os.getloadavg(),
    }


def _round(asked: Sequence[int], core: int) -> tuple[list[float], float]:
    with busy_slices([share_of(percent) for percent in asked], core) as (enforcer, groups):
        time.sleep(_WARM_SECONDS)
        before = read(enforcer, groups, core)
        time.sleep(SECONDS)
        return shares(before, read(enforcer, groups, core))


def _weights(core: int) -> dict[str, Any]:
    """Two slices that may borrow: both busy, then one of them alone with the core."""
    asked = [20, 60]
    with busy_slices([share_of(percent, SlicePolicy.WEIGHT) for percent in asked], core) as (enforcer, groups):
        time.sleep(_WARM_SECONDS)
        before = read(enforcer, groups, core)
        time.sleep(SECONDS / 2)
        both, _ = shares(before, read(enforcer, groups, core))
    with busy_slices([share_of(20, SlicePolicy.WEIGHT)], core) as (enforcer, groups):
        before = read(enforcer, groups, core)
        time.sleep(SECONDS / 2)
        alone, _ = shares(before, read(enforcer, groups, core))
    return {"asked": asked, "both_busy": [round(value, 1) for value in both], "first_alone": round(alone[0], 1)}


def busy_core_seconds(core: int) -> float:
    """All but idle and waiting, of one core; the time stolen by the host counts as used by others."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, softirq, steal = (int(value) for value in line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise RuntimeError(f"there is no core {core}")
