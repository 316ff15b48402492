"""The figures of the gateway, each beside the engine without one and beside other gateways on the same core.

`make bench-gateway` writes benchmarks/results/gateway.json. Needs two cores, a C compiler and, for the peers, a package
index (once); about half an hour. With arguments (`benchmarks/bench_gateway.py --only small,stream --rounds 3`) the
figures are printed and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from gateway import fairness, life, peer_routing, plain, routing, stream
from gateway.peers import peers_environment, peers_versions
from gateway.programs import LOAD_CORE, Programs
from gateway.stage import Ground
from report import write

ROUNDS = 5
SECTIONS: dict[str, Callable[[Ground], dict[str, Any]]] = {
    "small": plain.small,
    "body16k": plain.body16k,
    "stream": stream.measure,
    "abort_ms": life.abort,
    "streams_idle": life.idle,
    "fairness": lambda _: fairness.measure(),
    "routing": lambda _: routing.measure(),
    "routing_peer": peer_routing.measure,
}
"""A section that needs no common ground ignores it."""
PLACES = {"routing_peer": "routing"}
"""Where the figures of a section stand in the result, if not under its name."""
METHOD = (
    "Gateways run on core 0, engines and clients (both in C) on core 1, over loopback, all of them at raised priority "
    "where that is allowed. Every round measures each side once, in rotating order; ratios and differences are those "
    "of single rounds. Ours is `aicp-server gateway` with a hashed key that has limits, a route over 8 replicas, and "
    "its usage log on disk, which a control plane counts; sglang-router runs with cache_aware over the same 8; LiteLLM "
    "with one worker over the same 8, without database. Processor time is that of all threads, with what follows the "
    "answers. Routing is measured in virtual time, as by `make bench-routing`; against sglang-router both real "
    "gateways replay a part of the same trace, sped up by the same factor, and are told the size of the simulated "
    "caches."
)
NOTE = (
    "Measured on shared cores with other work at the same time: single values lie far apart, and only comparisons "
    "within one run mean something. load_average is that of the end. A p99 of gaps holds what the machine did to the "
    "engine and the client too, so it is read against that of the direct connection."
)


def main() -> None:
    """Runs the sections asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"sections, comma-separated: {', '.join(SECTIONS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each side is measured, at least 2")
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name] or list(SECTIONS)
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if given.rounds < 2 or (os.cpu_count() or 1) < 2:
        parser.error("at least two rounds and two cores are needed")
    os.sched_setaffinity(0, {LOAD_CORE})
    environment = peers_environment()
    figures: dict[str, Any] = {"note": NOTE, "method": METHOD, "peers": peers_versions(environment)}
    figures["rounds"] = given.rounds
    with tempfile.TemporaryDirectory(prefix="aicp-bench-") as folder:
        ground = Ground(Programs(Path(folder)), environment, given.rounds)
        for name in names:
            print(f"measuring {name}", flush=True)
            place = PLACES.get(name) or name
            figures.setdefault(place, {}).update(SECTIONS[name](ground))
    if len(sys.argv) > 1:
        print(json.dumps(figures, indent=2))
    else:
        write("gateway", figures, ["uvloop", "httptools", "msgspec"])


if __name__ == "__main__":
    main()
