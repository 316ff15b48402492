"""Routing by the real processes: ours and sglang-router replay the same part of a trace over simulated replicas.

The replicas are HTTP servers with bounded caches of blocks; a first token comes when the prompts before it and what the
cache lacks of its own have been read. See replay.py. Both sides are told how large the caches are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.doors import DOORS, Door
from gateway.programs import LOAD_CORE, end, start
from gateway.replay import Plan
from gateway.simulated import ALIKE, CACHE_BLOCKS, UNLIKE
from gateway.stage import Ground
from gateway.traces import BLOCK_BYTES, BLOCK_TOKENS
from report import spread
from tests.support.gateway_process import free_port

_FACTOR = 50.0
_TRACE_SECONDS = 1100.0
_ROUNDS = 3
_EVICTION_SECONDS = 60.0
_FLEETS: Mapping[str, Sequence[float]] = {"4": ALIKE, "4_unlike": UNLIKE}
_KINDS: Mapping[str, Mapping[str, Any]] = {
    "ours": {"cache_tokens": CACHE_BLOCKS * BLOCK_TOKENS},
    "sglang_router": {
        "options": [
            *("--max-tree-size", str(CACHE_BLOCKS * BLOCK_BYTES)),
            *("--eviction-interval-secs", str(max(1, round(_EVICTION_SECONDS / _FACTOR)))),
        ]
    },
}
_SHOWN = ("hit", "imbalance", "p50_ttft_s", "p99_ttft_s", "gateway_core_share", "own_core_share", "late_p99_s")


def measure(ground: Ground) -> dict[str, Any]:
    """Ratios over all fleets, above 1 where ours is better, and the figures of each; each round has a seed of its own.

    `hit_vs_sglang_router` is our hit rate through theirs, `p99_ttft_vs_sglang_router` their p99 through ours.
    """
    rounds = min(ground.rounds, _ROUNDS)
    found = {name: _rounds(ground, speeds, rounds) for name, speeds in _FLEETS.items()}
    fleets = {name: _figures(results) for name, results in found.items()}
    ratios = {name: [run for one in fleets.values() for run in one[name]["runs"]] for name in _ratios([], [])}
    return {
        **{name: spread(runs) for name, runs in ratios.items()},
        "vs_sglang_router": {
            **fleets,
            "load": {
                "times_as_fast": _FACTOR,
                "trace_seconds": _TRACE_SECONDS,
                "rounds": rounds,
                "requests": [one["requests"] for one in found["4"]["ours"]],
            },
        },
    }


def _rounds(ground: Ground, speeds: Sequence[float], rounds: int) -> dict[str, list[Any]]:
    """The results by the gateway's name; each is first as often as the other, as far as the number allows."""
    results: dict[str, list[Any]] = {name: [] for name in _KINDS}
    names = list(_KINDS)
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            results[name].append(_replay(ground, name, speeds, number + 1))
    return results


def _replay(ground: Ground, name: str, speeds: Sequence[float], seed: int) -> dict[str, Any]:
    """One replay through a fresh gateway and fresh replicas. Raises RuntimeError when a request fails."""
    plan = Plan([free_port() for _ in speeds], list(speeds), _FACTOR, _TRACE_SECONDS, seed)
    with ExitStack() as stack:
        process = stack.enter_context(_replaying(plan))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aicp-bench-")))
        door: Door = stack.enter_context(DOORS[name](directory, plan.ports, environment=ground.peers, **_KINDS[name]))
        before = door.cpu_seconds()
        output, _ = process.communicate(json.dumps({"port": door.port, "key": door.key}).encode() + b"\n", timeout=300)
        result: dict[str, Any] = json.loads(output)
        share = (door.cpu_seconds() - before) / result["seconds"]
    if result["errors"] or result["answered"] != result["requests"]:
        raise RuntimeError(f"{name} answered {result['answered']} of {result['requests']}: {result['errors']}")
    return {**result, "gateway_core_share": share}


@contextmanager
def _replaying(plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    """The process of the replicas and clients once the replicas listen."""
    command = [sys.executable, Path(__file__).with_name("replay.py"), json.dumps(asdict(plan))]
    process = start(command, LOAD_CORE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the simulated replicas did not start")
        yield process
    finally:
        end(process)


def _ratios(ours: Sequence[Any], theirs: Sequence[Any]) -> dict[str, list[float]]:
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "hit_vs_sglang_router": [one["hit"] / other["hit"] for one, other in pairs],
        "p99_ttft_vs_sglang_router": [other["p99_ttft_s"] / one["p99_ttft_s"] for one, other in pairs],
    }


def _figures(results: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    ratios = _ratios(results["ours"], results["sglang_router"])
    return {
        **{name: spread(values) for name, values in ratios.items()},
        **{name: {shown: spread([one[shown] for one in found]) for shown in _SHOWN} for name, found in results.items()},
    }
