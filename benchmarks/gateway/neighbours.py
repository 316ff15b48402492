"""Whether the two cores that the benchmark uses are two cores, or two threads of one."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from gateway.programs import GATEWAY_CORE, LOAD_CORE, end, start

_TIMES = 7
_STEPS = 1_000_000


def slowdown() -> float:
    """How many times as long the gateways' core needs for the same work while the engines' is busy.

    About 1 where each is a core of its own; about 1.7 where they are threads of one core, as the processors of a rented
    machine may be without saying so: then each gateway has little more than half a core, and one that computes much
    suffers more than one that waits for the kernel.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {GATEWAY_CORE})
    try:
        alone = _work_seconds()
        busy = start([sys.executable, "-c", "while True: pass"], LOAD_CORE, stdout=subprocess.DEVNULL)
        try:
            beside = _work_seconds()
        finally:
            end(busy)
    finally:
        os.sched_setaffinity(0, before)
    return round(beside / alone, 2)


def _work_seconds() -> float:
    """Processor time of a fixed piece of work; the least of some, since others only add to it."""
    found: list[float] = []
    for _ in range(_TIMES):
        began = time.process_time()
        total = 0
        for step in range(_STEPS):
            total += step & 3
        found.append(time.process_time() - began)
    return min(found)
