"""Random clients against the gateway's reading of HTTP, in this process: see tests/support/gateway_fuzz.py.

    python tools/fuzz_gateway.py --seconds 600 --seed 1

A case is known by its seed and number; what is found is told with both, and `--case` plays it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "src")]

from tests.support.clock import FakeClock  # noqa: E402 the path is set above
from tests.support.gateway_bench import make_bench  # noqa: E402
from tests.support.gateway_fuzz import World, listen  # noqa: E402

_NEW_WORLD = 2000
"""Cases that one gateway serves: nothing of one may harm a later one."""
_MOST_GROWTH_MIB = 64


def _memory_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def fuzz(seed: str, numbers: range, go_on: Callable[[], bool]) -> tuple[int, int]:
    """Cases played, and how many found something."""
    played = found = 0
    before: float | None = None
    while go_on() and played < len(numbers):
        with tempfile.TemporaryDirectory() as folder:
            clock = FakeClock()
            world = World(make_bench(Path(folder), clock), clock)
            stop = listen(world)
            for number in numbers[played : played + _NEW_WORLD]:
                if not go_on():
                    break
                played += 1
                try:
                    await world.case(random.Random(f"{seed}:{number}"))
                except Exception as error:  # whatever comes out is a finding
                    found += 1
                    print(f"seed {seed} case {number}: {type(error).__name__}: {error}", flush=True)
                    if len(numbers) == 1:
                        print(world.sent)
            stop()
        before = before or _memory_mib()
        if _memory_mib() - before > _MOST_GROWTH_MIB:
            print(f"memory grew from {before:.0f} to {_memory_mib():.0f} MiB in {played} cases", flush=True)
            return played, found + 1
    return played, found


def main() -> int:
    """1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--case", type=int, help="this one alone")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    numbers = range(sys.maxsize) if options.case is None else range(options.case, options.case + 1)
    played, found = asyncio.run(fuzz(options.seed, numbers, lambda: time.monotonic() < until))
    print(f"{played} cases, {found} findings, seed {options.seed}, {_memory_mib():.0f} MiB")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
