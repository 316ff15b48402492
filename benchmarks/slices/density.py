"""Eight small models on one device against one device for each: how much more use, and how much slower the slowest.

A device is one processor core: the processes are bound to it, so no device gives more than one core. Devices of the
baseline are this core too, one after the other, each with one model and nothing else on it; so all of them are alike,
and the caller, on the other cores, takes none of their time. All of them replay the same trace, each its own model's
calls. On the shared device the models are slices by the platform's enforcer (guaranteed shares, what others leave idle
may be used), each a process of its own; then the same once more as eight models in one process in one slice.

Utilization is the processor time that the kernel charged to the groups, by the devices' cores and the time from the
trace's first call to its last answer. Two traces: busy spells in turn, as of services that are not wanted at the same
hour, give the figures; all models busy at once is told beside them, and is what a shared device serves worse. p99 is
over all calls of a trace; that of the model that suffers most is told too. `used_by_others` is the core's time that
went to neither: where it is more than a few hundredths, the machine was not quiet and the times mean little. A call is
refused when too many wait already; an answer is wrong when its numbers are.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import percentile, spread
from slices.cpu import busy_core_seconds
from slices.density_trace import TOKEN, Answered, Call, Caller, at_once, in_turn, requests_of
from tests.support.small_models import Member, light_python, members

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SlicePolicy
from aicp.enforcers.cgroup import CgroupEnforcer

_BUSY, _QUIET, _AT_ONCE = 0.69, 0.03, 0.73
"""Parts of the device that are asked for at first: in a model's spell, by all others meanwhile, by all at once."""
_LEAST_BUSY, _MOST_BUSY = 0.70, 0.74
_TRIES = 4
SPELL_SECONDS = 5.0
_CALIBRATION_SECONDS = 1.5
_PERCENT, _MEMORY = {"reader": 4}, {"reader": GIB}
"""Shares other than the usual: the reader's calls take twenty times as long as others', which need not wait for it."""
_OTHER_PERCENT, _OTHER_MEMORY = 13, 512 * MIB
_START_SECONDS = 60
_BECOME = """
import os, sys
core, count = int(sys.argv[1]), int(sys.argv[2])
for path in sys.argv[3 : 3 + count]:
    handle = os.open(path, os.O_WRONLY)
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
os.sched_setaffinity(0, {core})
os.execv(sys.argv[3 + count], sys.argv[3 + count :])
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts need: the members, the engine's Python, a folder for sockets, and the core that is the device."""

    members: Sequence[Member]
    python: Path
    place: Path
    core: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """A trace on a device: all answers, the processor time of its groups and of others there, the time that passed."""

    answers: list[Answered]
    busy_seconds: float
    others_seconds: float
    seconds: float


def measure(rounds: int, core: int, spell: float = SPELL_SECONDS) -> dict[str, Any]:
    """The part `density` of benchmarks/results/slices.json. Raises RuntimeError where groups cannot be written."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, everywhere - {core})
    try:
        with tempfile.TemporaryDirectory() as place:
            python = light_python()
            return _measure(Bench(members(Path(place), python), python, Path(place), core), rounds, spell)
    finally:
        os.sched_setaffinity(0, everywhere)


def _measure(bench: Bench, rounds: int, spell: float) -> dict[str, Any]:
    costs = {member.name: _cost(bench, member) for member in bench.members}
    print("processor seconds of a call:", {name: round(cost, 4) for name, cost in costs.items()}, flush=True)

    def turns(factor: float, seed: int) -> list[Call]:
        return in_turn(costs, _BUSY * factor, _QUIET * factor, spell, seed)

    def together(factor: float, seed: int) -> list[Call]:
        return at_once(costs, _AT_ONCE * factor, spell * len(costs) / 2, seed)

    found = [_round(bench, turns, number) for number in range(rounds)]
    return {
        "models": spread([len(bench.members)] * rounds),
        **{name: spread([one["slices"][name] for one in found]) for name in ("p99_ratio", "utilisation_ratio")},
        "shared_busy": spread([one["slices"]["utilisation"] for one in found]),
        **{
            f"{what}_answers": sum(one[kind][what] for one in found for kind in ("baseline", "slices", "one_process"))
            for what in ("wrong", "refused")
        },
        "one_process": {
            name: spread([one["one_process"][name] for one in found])
            for name in ("p99_ratio", "utilisation_ratio", "utilisation")
        },
        "method": " ".join((__doc__ or "").split()),
        "seconds_of_a_call": {name: round(cost, 5) for name, cost in costs.items()},
        "rounds": found,
        "all_at_once": _round(bench, together, 0),
        "load_average": os.getloadavg(),
    }


def _round(bench: Bench, draw: Callable[[float, int], list[Call]], seed: int) -> dict[str, Any]:
    """One trace on the shared device, on eight devices, and on a device with one process for all."""
    trace, shared = _busy_enough(bench, draw, seed)
    alone: list[Replayed] = []
    for member in bench.members:
        with _slices(bench, [([member], 100)], SlicePolicy.CAP) as device:
            alone.append(device.replay([call for call in trace if call.member == member.name]))
    answers = [item for one in alone for item in one.answers]
    # A device without a call at the end would have been there as long as the others.
    seconds = max(one.seconds for one in alone)
    busy, others = sum(one.busy_seconds for one in alone), sum(one.others_seconds for one in alone)
    baseline = Replayed(answers, busy, others, seconds)
    with _slices(bench, [(bench.members, 100)], SlicePolicy.WEIGHT) as device:
        one_process = device.replay(trace)
    told = _told(bench, baseline, len(bench.members))
    figures = {
        "calls": len(trace),
        "baseline": told,
        "slices": _compared(_told(bench, shared, 1), told),
        "one_process": _compared(_told(bench, one_process, 1), told),
    }
    print(json.dumps(figures), flush=True)
    return figures


def _busy_enough(bench: Bench, draw: Callable[[float, int], list[Call]], seed: int) -> tuple[list[Call], Replayed]:
    """A trace that keeps the shared device as busy as it should be, found by trying, and how it went.

    Calls that are computed together cost less than alone, so what they cost together is only known afterwards.
    """
    factor, tries = 1.0, _TRIES
    while True:
        trace = draw(factor, seed)
        parts = [([member], _PERCENT.get(member.name, _OTHER_PERCENT)) for member in bench.members]
        with _slices(bench, parts, SlicePolicy.WEIGHT) as device:
            shared = device.replay(trace)
        busy = shared.busy_seconds / shared.seconds
        print(f"the shared device was {busy:.1%} busy with {len(trace)} calls", flush=True)
        tries -= 1
        if _LEAST_BUSY <= busy <= _MOST_BUSY or tries == 0:
            return trace, shared
        factor *= (_LEAST_BUSY + _MOST_BUSY) / 2 / busy


def _told(bench: Bench, replayed: Replayed, devices: int) -> dict[str, Any]:
    right = {member.name: member.questions for member in bench.members}
    refused = sum(item.status != 200 for item in replayed.answers)
    wrong = sum(item.status == 200 and not _is_right(right[item.call.member], item) for item in replayed.answers)
    by_model = {name: [item.seconds for item in replayed.answers if item.call.member == name] for name in right}
    return {
        "p99_ms": round(1000 * percentile([item.seconds for item in replayed.answers], 0.99), 1),
        "p99_of": {name: round(1000 * percentile(times, 0.99), 1) for name, times in by_model.items() if times},
        "wrong": wrong,
        "refused": refused,
        "busy_seconds": round(replayed.busy_seconds, 3),
        "utilisation": round(replayed.busy_seconds / (devices * replayed.seconds), 4),
        "used_by_others": round(replayed.others_seconds / (devices * replayed.seconds), 4),
    }


def _is_right(questions: Sequence[Any], item: Answered) -> bool:
    question = questions[item.call.question % len(questions)]
    return question.is_right(json.loads(item.body))


def _compared(shared: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    worst = max(shared["p99_of"][name] / value for name, value in baseline["p99_of"].items())
    return {
        **shared,
        "p99_ratio": round(shared["p99_ms"] / baseline["p99_ms"], 3),
        "p99_ratio_of_the_worst_model": round(worst, 3),
        "utilisation_ratio": round(shared["utilisation"] / baseline["utilisation"], 3),
    }


def _cost(bench: Bench, member: Member) -> float:
    """Processor seconds of a call on the device, asked one after the other for a while, each question at least once."""
    with _slices(bench, [([member], 100)], SlicePolicy.CAP) as device:
        calls = [Call(0, member.name, number) for number in range(len(member.questions))]
        for call in calls[:2]:
            device.replay([call])
        used = count = 0.0
        until = time.monotonic() + _CALIBRATION_SECONDS
        while time.monotonic() < until or count < len(calls):
            used += device.replay([calls[int(count) % len(calls)]]).busy_seconds
            count += 1
        return used / count


@dataclass(frozen=True, slots=True)
class _Device:
    enforcer: CgroupEnforcer
    groups: Sequence[str]
    caller: Caller
    core: int

    def replay(self, trace: Sequence[Call]) -> Replayed:
        used, core, begin = self._used(), busy_core_seconds(self.core), time.monotonic()
        answers = asyncio.run(self.caller.replay(trace))
        used, core, seconds = self._used() - used, busy_core_seconds(self.core) - core, time.monotonic() - begin
        return Replayed(answers, used, max(0.0, core - used), seconds)

    def _used(self) -> float:
        return sum(self.enforcer.usage(group).cpu_seconds or 0.0 for group in self.groups)


@contextmanager
def _slices(bench: Bench, parts: Sequence[tuple[Sequence[Member], int]], policy: SlicePolicy) -> Iterator[_Device]:
    """One process for each part: its models, in a slice of so many percent. All are on the device's core."""
    enforcer = CgroupEnforcer()
    groups: list[str] = []
    sockets: dict[str, Path] = {}
    with ExitStack() as stack:
        for number, (part, percent) in enumerate(parts):
            group, socket = f"bench-{os.getpid()}-{number}", bench.place / f"{number}.sock"
            groups.append(group)
            stack.callback(_release, enforcer, group)
            stack.callback(_end, _start(bench, enforcer, group, part, _share(part, percent, policy), socket))
            sockets |= {member.name: socket for member in part}
        _wait(sockets.values())
        caller = Caller(sockets, {item.name: requests_of(item) for item in bench.members})
        yield _Device(enforcer, groups, caller, bench.core)


def _share(part: Sequence[Member], percent: int, policy: SlicePolicy) -> Allocation:
    memory = sum(_MEMORY.get(member.name, _OTHER_MEMORY) for member in part)
    device = DeviceShare(
        vendor="cpu",
        device_id="cpu-0",
        index=0,
        compute_percent=percent,
        memory_bytes=memory,
        mechanism="cgroup",
        policy=policy,
    )
    return Allocation(node_id="bench", devices=[device], cpu_cores=percent / 100, memory_bytes=memory)


def _start(
    bench: Bench, enforcer: CgroupEnforcer, group: str, part: Sequence[Member], allocation: Allocation, socket: Path
) -> subprocess.Popen[bytes]:
    applied = enforcer.apply(group, allocation)
    if not applied.enforced:
        raise RuntimeError(applied.note)
    socket.unlink(missing_ok=True)
    command = [str(bench.python), "-I", "-m", "aicp_lightengine", "--listen", str(socket), "--threads", "1"]
    for member in part:
        command += ["--model", member.name, str(member.folder)]
        command += ["--int8", member.name] if member.int8 else []
    become = [sys.executable, "-c", _BECOME, str(bench.core), str(len(applied.join)), *applied.join]
    return subprocess.Popen([*become, *command], env={"LIGHT_TOKEN": TOKEN, "LANG": "C.UTF-8"})


def _wait(sockets: Collection[Path]) -> None:
    until = time.monotonic() + _START_SECONDS
    for socket in set(sockets):
        while not socket.exists():
            if time.monotonic() > until:
                raise RuntimeError(f"an engine was not up within {_START_SECONDS} s; its words are above")
            time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _release(enforcer: CgroupEnforcer, group: str) -> None:
    """The kernel needs a moment to see that an ended process has left its group. Raises RuntimeError after 5 s."""
    until = time.monotonic() + 5
    while not enforcer.release(group):
        if time.monotonic() > until:
            raise RuntimeError(f"the control group {group} does not become empty")
        time.sleep(0.05)
