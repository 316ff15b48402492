"""How well the gateway's routing finds prefixes: `make bench-routing` writes benchmarks/results/routing.json.

Virtual time, so the noise of a machine has no part in it; about five minutes. See benchmarks/gateway/routing.py.
`routing` is measured on the half of the trace that nothing was set by, `whole_trace` on all of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from gateway.routing import measure
from report import write

NOTE = (
    "Mooncake's conversation trace: `routing` is its second half, `whole_trace` all of it; the constants were set on "
    "the first half. hit_of_ideal compares with the longest prefix by exact, undelayed knowledge of every cache under "
    "the same rule for spills. A later spill changes little: on the first half 4 equal replicas hit 0.316, 0.317 and "
    "0.317 where 4, 6 and 8 usual prompts more may wait before one is spared (p99 7.0, 7.4 and 7.4 s)."
)

if __name__ == "__main__":
    write("routing", {"note": NOTE, "routing": measure(), "whole_trace": measure(None)})
