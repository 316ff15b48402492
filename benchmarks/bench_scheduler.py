"""The scheduler: `make bench-scheduler` writes benchmarks/results/scheduler.json.

`place`: one pass over 1,000 nodes of 8 cards with 10,000 replicas, where all fit and where about 30 % do not (with the
reasons for these), as seconds on the clock and of the processor, least of some runs; the board is made within the time.
`packing`: cards used against the configuration LP and against the optimum, see scheduler/bound.py; scipy computes
these in an environment of its own. `--soak N` does N random operations and recounts the card map instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from report import write
from scheduler.soak import soak
from scheduler.worlds import ADVERSARIAL, CARD, POOL, Mix, cluster, equal_cards, mixed, random_mix

from aicp.scheduler.batch import Outcome, place_all
from aicp.scheduler.pending import Pending
from aicp.scheduler.placement import Order, PoolPolicy, Snapshot

PENDING, NODES = 10_000, 1_000
RUNS = 3
SMALL = 40
SHAPES, KINDS, SEEDS = ("any", "half", "alike", "menu"), (10, 30), 3


def one_pass(pending: list[Pending], nodes: int, order: Order) -> tuple[Outcome, dict[str, Any]]:
    """The best of some passes: the clock of a shared machine says little, the least of several more."""
    snapshot = Snapshot(cluster(nodes), policies={POOL: PoolPolicy(order)})
    walls: list[float] = []
    processor: list[float] = []
    outcome = Outcome()
    for _ in range(RUNS):
        wall, used = time.perf_counter(), time.process_time()
        outcome = place_all(pending, snapshot)
        processor.append(time.process_time() - used)
        walls.append(time.perf_counter() - wall)
    sentences = {refusal.sentence for refusal in outcome.refusals.values()}
    assert len(outcome.placements) + len(outcome.refusals) == len(pending)
    assert all(sentences)
    return outcome, {
        "nodes": nodes,
        "placed": len(outcome.placements),
        "refused": len(outcome.refusals),
        "different_reasons": len(sentences),
        "seconds": round(min(walls), 3),
        "seconds_of_all_runs": [round(value, 3) for value in walls],
        "processor_seconds": round(min(processor), 3),
    }


def _shrink(pending: list[Pending], order: Order) -> int:
    """How many nodes leave about 30 % of the replicas without a place."""
    low, high = 1, NODES
    while low < high:
        middle = (low + high) // 2
        snapshot = Snapshot(cluster(middle), policies={POOL: PoolPolicy(order)})
        if len(place_all(pending, snapshot).refusals) > 0.3 * len(pending):
            low = middle + 1
        else:
            high = middle
    return low


def passes() -> dict[str, Any]:
    """Every pass, by what the pool prefers and how many services there are; `worst` of those with up to 400."""
    found: dict[str, Any] = {}
    for order in Order:
        for services in (50, 400, PENDING):
            pending = mixed(1, services, PENDING)
            fits = one_pass(pending, NODES, order)[1]
            beyond = one_pass(pending, _shrink(pending, order), order)[1]
            found[f"{order.value}, {services} services"] = {"all_fit": fits, "beyond": beyond}
    counted = [item for name, both in found.items() if f"{PENDING}" not in name for item in both.values()]
    return {
        "seconds_10000": max(item["seconds"] for item in counted),
        "processor_seconds_10000": max(item["processor_seconds"] for item in counted),
        "passes": found,
    }


def cards_used(mix: Mix, cards: int) -> int:
    """How many cards the scheduler cuts for a mix."""
    snapshot = Snapshot(equal_cards(cards), policies={POOL: PoolPolicy(Order.PACK)})
    outcome = place_all(mix.pending(), snapshot)
    assert not outcome.refusals
    return len(
        {
            (member.allocation.node_id, share.device_id)
            for members in outcome.placements.values()
            for member in members
            for share in member.allocation.devices
        }
    )


def bounds(mixes: list[Mix]) -> list[dict[str, int]]:
    """What scipy says, in an environment that is thrown away; of mixes of at most 40 slices also the optimum."""
    items = [
        {"sizes": mix.sizes, "counts": mix.counts, "card": CARD, "exact": sum(mix.counts) <= SMALL} for mix in mixes
    ]
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory) / "bin" / "python"
        listed = ROOT / "benchmarks" / "scheduler" / "bound.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", listed], check=True)
        program = ROOT / "benchmarks" / "scheduler" / "bound.py"
        answer = subprocess.run([python, program], input=json.dumps(items), text=True, capture_output=True, check=True)
    return json.loads(answer.stdout)


def gaps(mixes: list[Mix], limits: list[dict[str, int]], which: str) -> dict[str, Any]:
    """Cards used beyond the bound (or the optimum), in percent."""
    rows: dict[str, Any] = {}
    for mix, limit in zip(mixes, limits, strict=True):
        least = limit[which]
        used = cards_used(mix, least + least // 2 + 8)
        gap = round(100 * (used / least - 1), 2)
        rows[mix.name] = {"slices": sum(mix.counts), "used": used, which: least, "gap_percent": gap}
    worst = max(row["gap_percent"] for row in rows.values())
    mean = round(sum(row["gap_percent"] for row in rows.values()) / len(rows), 2)
    return {"gap_percent": worst, "mean_gap_percent": mean, "mixes": rows}


def packing() -> dict[str, Any]:
    """Random mixes and adversarial families against the LP, small instances against the optimum."""
    large = [random_mix(shape, kinds, seed) for shape in SHAPES for kinds in KINDS for seed in range(SEEDS)]
    small = [random_mix(shape, 5, seed, most=8) for shape in SHAPES for seed in range(10)]
    groups = [large, list(ADVERSARIAL), small]
    limits = iter(bounds([mix for group in groups for mix in group]))
    on_random, on_adversarial, on_small = (
        gaps(group, [next(limits) for _ in group], "exact" if group is small else "bound") for group in groups
    )
    rows = on_small["mixes"].values()
    on_small["optimal"] = f"{sum(row['used'] == row['exact'] for row in rows)} of {len(rows)}"
    on_small["cards_beyond"] = max(row["used"] - row["exact"] for row in rows)
    return {"random": on_random, "adversarial": on_adversarial, "exact": on_small}


def main() -> None:
    """All figures, or a soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", type=int, metavar="N", help="do N random operations instead")
    given = parser.parse_args()
    if given.soak:
        print(json.dumps(soak(given.soak), indent=2))
        return
    measured = passes()
    packed = packing()
    place = {"packing_gap_percent": packed["random"]["gap_percent"], **measured}
    write("scheduler", {"place": place, "packing": packed, "soak": soak(1_000_000)})


if __name__ == "__main__":
    main()
