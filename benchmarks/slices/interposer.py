"""What the slice library holds and what it costs, on a stand-in for the driver (interposer/tests): no real device.

`measure()` gives the part `interposer` of benchmarks/results/slices.json. Shares are the device's own counters over the
time that passed; the processors only launch, so a busy machine makes shares smaller, never larger (the programs run at
real-time priority where that is allowed). What a launch costs is the least of many short runs, with and without the
library in turn: beside other work the least is what it costs.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from report import spread
from tests.support.fake_cuda import DEVICES, FakeCuda, Tester, spin

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import MIB

CASES: dict[str, list[int]] = {
    "30/70": [30, 70],
    "1/5/10/50": [1, 5, 10, 50],
    "eight": [5, 5, 10, 10, 10, 15, 20, 25],
}
KINDS = {"kernels": ("kernel", 500), "graphs": ("graph", 125)}
"""Half a millisecond each: one kernel, or a graph of four."""
ROUNDS, ROUND_SECONDS = 5, 10.0
LAUNCHES, RUNS = 20_000, 60
LIMITED_PERCENT = 99


def measure(round_seconds: float = ROUND_SECONDS) -> dict[str, Any]:
    """Errors in points of the device's time and the cost of a launch. Raises CalledProcessError without a compiler."""
    with tempfile.TemporaryDirectory() as place:
        cuda = FakeCuda(Path(place))
        rounds = [_errors(cuda, Path(place), number, round_seconds) for number in range(ROUNDS)]
        cost = _launch_cost(cuda, Path(place))
    cases = {name: spread([errors[name] for errors in rounds]) for name in rounds[0]}
    return {
        "device": "a stand-in for the driver; never run on a real one",
        "error_points": max(max(errors.values()) for errors in rounds),
        "worst_of_a_round": spread([max(errors.values()) for errors in rounds]),
        "cases": cases,
        "launch_overhead_ns": cost,
    }


def _errors(cuda: FakeCuda, place: Path, number: int, seconds: float) -> dict[str, float]:
    """The largest distance of a share from what was asked, for each case and kind of work."""
    found: dict[str, float] = {}
    for case, percents in CASES.items():
        for kind, (launch, grid) in KINDS.items():
            folder = place / f"{number}-{case.replace('/', '-')}-{kind}"
            with ExitStack() as stack:
                asked = {f"rep_{index}": percent for index, percent in enumerate(percents)}
                testers = {name: _start(cuda, folder, name, percent) for name, percent in asked.items()}
                for tester in testers.values():
                    stack.callback(tester.kill)
                got = spin(testers, launch, grid, seconds)
            found[f"{case} {kind}"] = max(abs(got[name] - percent) for name, percent in asked.items())
    return found


def _start(cuda: FakeCuda, folder: Path, group: str, percent: int) -> Tester:
    share = DeviceShare(
        vendor="nvidia",
        device_id=DEVICES[0],
        index=0,
        compute_percent=percent,
        memory_bytes=256 * MIB,
        mechanism="interposer",
    )
    allocation = Allocation(node_id="node", devices=[share], cpu_cores=1, memory_bytes=0)
    folder.mkdir(exist_ok=True)
    return cuda.start(folder / "state", cuda.enforcer(folder).apply(group, allocation).env)


def _launch_cost(cuda: FakeCuda, place: Path) -> dict[str, float]:
    """What the library adds to a launch that gives the device nothing to do, nanoseconds."""
    folder = place / "cost"
    folder.mkdir()
    kinds = {
        "without": cuda.start(folder / "state", {}),
        "unlimited": _start(cuda, folder, "unlimited", 100),
        "limited": _start(cuda, folder, "limited", LIMITED_PERCENT),
    }
    least = dict.fromkeys(kinds, float("inf"))
    try:
        for _ in range(RUNS):
            for name, tester in kinds.items():
                tester.send("time", "-", LAUNCHES)
                least[name] = min(least[name], float(tester.answer()[0]))
    finally:
        for tester in kinds.values():
            tester.kill()
    return {name: round(least[name] - least["without"], 1) for name in ("unlimited", "limited")}
