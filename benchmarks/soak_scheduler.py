"""A million random operations of the scheduler over a store that is killed on the way: `make soak-scheduler`.

Prints the figures as JSON, or ends with the first broken invariant; see scheduler/lives.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from scheduler.lives import live


def main() -> None:
    """The soak in a new file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(live(Path(folder) / "held.sqlite", given.operations, given.seed), indent=2))


if __name__ == "__main__":
    main()
