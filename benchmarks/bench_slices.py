"""`make bench-slices`: what slices of a card hold, against what was asked for. Writes results/slices.json.

The cpu part runs real control groups on one core. Shares are counted by the kernel, over rounds of 10 seconds; the
worst round is what is reported. The density part puts eight small models on one device. The interposer part runs on a
stand-in for NVIDIA's driver, never on a real device.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from report import write
from slices import cpu, density, interposer

ROUNDS = 5
CORE = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of 10 seconds for each case")
    parser.add_argument("--only", default="", help="sections, comma-separated: cpu, density, interposer")
    parser.add_argument(
        "--spell", type=float, default=density.SPELL_SECONDS, help="seconds of a model's busy spell in the part density"
    )
    given = parser.parse_args()
    sections: dict[str, Callable[[], dict[str, Any]]] = {
        "cpu": lambda: cpu.measure(given.rounds, CORE),
        "density": lambda: density.measure(given.rounds, CORE, given.spell),
        "interposer": interposer.measure,
    }
    names = [name for name in given.only.split(",") if name] or list(sections)
    if unknown := set(names) - set(sections):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(sections)}")
    if (os.cpu_count() or 1) < 2:
        parser.error("at least two cores are needed: one is the card, one for everything else")
    figures: dict[str, Any] = {"rounds": given.rounds}
    for name in names:
        print(f"measuring {name}", flush=True)
        figures[name] = sections[name]()
    if len(sys.argv) > 1:
        print(json.dumps(figures, indent=2))
    else:
        write("slices", figures)


if __name__ == "__main__":
    main()
