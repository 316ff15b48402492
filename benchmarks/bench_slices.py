"""`make bench-slices`: what slices of a card hold, against what was asked for. Writes results/slices.json.

The cpu part runs real control groups on one core. Shares are counted by the kernel, over rounds of 10 seconds; the
worst round is what is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from report import write
from slices import cpu

ROUNDS = 5
CORE = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of 10 seconds for each case")
    parser.add_argument("--only", default="", help="sections, comma-separated: cpu")
    given = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        parser.error("at least two cores are needed: one is the card, one for everything else")
    os.sched_setaffinity(0, {0})
    figures: dict[str, Any] = {"rounds": given.rounds, "cpu": cpu.measure(given.rounds, CORE)}
    if len(sys.argv) > 1:
        print(json.dumps(figures, indent=2))
    else:
        write("slices", figures)


if __name__ == "__main__":
    main()
