"""`make bench-ray`: what the runner `ray` holds when things die, how soon many replicas run. Writes results/ray.json.

Real Ray processes on machines that are network and process namespaces of this one (needs root and the package `ray`,
see requirements/ray.txt). Engines are the tests' tiny ones, which load nothing, and calls go to their own sockets:
neither a gateway nor the control plane's loops are part of what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from report import spread, write
from tests.support.agent_process import tiny_launch
from tests.support.ray_machines import RayMachines, answers, unavailable, until
from tests.support.redis_server import RedisServer

from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.runners.ray.runner import RayRunner

REPLICAS = 100
HEAD_SECONDS = 15.0


async def all_ready(runner: RayRunner, ids: set[str], seconds: float) -> list[ObservedReplica]:
    """Every replica of `ids`, once all are ready."""
    found: list[ObservedReplica] = []

    async def check() -> bool:
        found[:] = [one for one in await runner.observe() if one.replica_id in ids and one.state is ReplicaState.READY]
        await asyncio.sleep(0.02)
        return len(found) == len(ids)

    await until(f"{len(ids)} replicas are ready", check, seconds)
    return found


async def connected(machines: RayMachines) -> RayRunner:
    """A runner whose nodes all answer."""
    runner = machines.runner()
    assert isinstance(runner, RayRunner)

    async def check() -> bool:
        await asyncio.sleep(0.05)
        return len(await runner.nodes()) == len(machines.nodes) and runner.connected

    await until("every node answers", check, 90)
    return runner


async def start_many(machines: RayMachines, runner: RayRunner) -> dict[str, Any]:
    """Light replicas over all nodes, from the first wish until the last is ready."""
    ids = {f"rep_m{number}" for number in range(REPLICAS)}
    began = time.monotonic()
    nodes = [node.name for node in machines.nodes]
    for number, replica_id in enumerate(sorted(ids)):
        wish = tiny_launch(nodes[number % len(nodes)], replica_id=replica_id, memory_bytes=64 * 1024 * 1024)
        await runner.start(wish)
    await all_ready(runner, ids, 300)
    seconds = time.monotonic() - began
    for replica_id in ids:
        await runner.stop(replica_id, 1, 1.0)
    return {"seconds": round(seconds, 2), "replicas": REPLICAS, "load_average": os.getloadavg()[0]}


async def kill_head(machines: RayMachines, runner: RayRunner) -> dict[str, Any]:
    """Calls to a replica on each node while the head is killed and started again."""
    ids = {f"rep_h{node.number}" for node in machines.nodes}
    for node in machines.nodes:
        await runner.start(tiny_launch(node.name, replica_id=f"rep_h{node.number}"))
    replicas = await all_ready(runner, ids, 60)
    calls = failed = 0
    machines.head.kill()
    machines.head.start()
    until_time = time.monotonic() + HEAD_SECONDS
    while time.monotonic() < until_time:
        for replica in replicas:
            calls, failed = calls + 1, failed + (not await answers(replica))
        await asyncio.sleep(0.01)

    async def back() -> bool:
        await asyncio.sleep(0.05)
        return runner.connected

    await until("the runner is connected to the new head", back, 60)
    return {"failed_calls": failed, "calls": calls}


async def kill_node(machines: RayMachines, runner: RayRunner) -> dict[str, float]:
    """From the death of a node until it is known, and until a replica of it answers elsewhere."""
    victim, other = machines.nodes[0], machines.nodes[-1]
    await runner.start(tiny_launch(victim.name, replica_id="rep_k"))
    await all_ready(runner, {"rep_k"}, 60)
    began = time.monotonic()
    victim.kill()

    async def known() -> bool:
        await asyncio.sleep(0.01)
        return victim.name in runner.dead()

    await until("the death is known", known, 30)
    detected = time.monotonic() - began
    await runner.start(tiny_launch(other.name, replica_id="rep_k", generation=2))
    (replica,) = await all_ready(runner, {"rep_k"}, 60)
    assert await answers(replica)
    back = time.monotonic() - began
    await runner.stop("rep_k", 2, 1.0)
    return {"detect_seconds": detected, "back_seconds": back}


async def measure(rounds: int) -> dict[str, Any]:
    """All figures; a round is a platform of its own, as a dead machine stays dead."""
    kills: list[dict[str, float]] = []
    figures: dict[str, Any] = {"rounds": rounds}
    for number in range(rounds):
        redis = RedisServer()
        redis.start()
        folder = Path(tempfile.mkdtemp(prefix="aicp-ray-", dir="/tmp"))
        machines = RayMachines(folder, redis=redis.url.removesuffix("/0"))
        try:
            await asyncio.to_thread(machines.start)
            runner = await connected(machines)
            if number == 0:
                figures["start_100"] = await start_many(machines, runner)
                figures["head_kill"] = await kill_head(machines, runner)
            kills.append(await kill_node(machines, runner))
            await runner.close()
        finally:
            machines.stop()
            redis.stop()
            shutil.rmtree(folder, ignore_errors=True)
    # the worst round is what is promised
    figures["node_kill"] = {
        name: max(round(kill[name], 2) for kill in kills) for name in ("detect_seconds", "back_seconds")
    } | {"rounds": {name: spread([kill[name] for kill in kills]) for name in ("detect_seconds", "back_seconds")}}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how many nodes are killed")
    given = parser.parse_args()
    if reason := unavailable():
        parser.error(reason)
    figures = asyncio.run(measure(given.rounds))
    if len(sys.argv) > 1:
        print(json.dumps(figures, indent=2))
    else:
        write("ray", figures)


if __name__ == "__main__":
    main()
