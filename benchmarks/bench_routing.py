"""How well the gateway's routing finds prefixes: `make bench-routing` writes benchmarks/results/routing.json.

Virtual time, so the noise of a machine has no part in it; about five minutes. See benchmarks/gateway/routing.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "gateway")]

from report import write
from routing import measure

NOTE = (
    "Second half of Mooncake's conversation trace; the constants were set on the first. hit_of_ideal compares with the "
    "longest prefix by exact, undelayed knowledge of every cache under the same rule for spills."
)

if __name__ == "__main__":
    write("routing", {"note": NOTE, "routing": measure()})
