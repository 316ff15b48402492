"""`python -m aicp.runners.ray.connection`: the one process that speaks to Ray's head, for the control plane.

A process of its own, because Ray's library ends the whole process when the head stays away for too long, and because
nothing else shall load it. Standard input holds what to connect to as JSON; each line of standard output is what Ray
says of the nodes. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray.util import list_named_actors  # pyright: ignore[reportMissingImports]
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # pyright: ignore[reportMissingImports]

from aicp.runners.ray.keeper import Keeper
from aicp.runners.ray.tending import PAPERS_CHANGED, tell, watch
from aicp.telemetry.processes import end_with_parent

NAMESPACE = "aicp"
_LOOK_SECONDS = 1.0


def main() -> None:
    """Until the parent ends or Ray's library gives up."""
    wish = json.loads(sys.stdin.readline())
    end_with_parent(wish["parent"])
    _end_with_papers(Path(os.environ["RAY_TLS_CA_CERT"]))
    ray.init(
        address=wish["head"],
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level="error",
        configure_logging=False,
        _node_ip_address=wish["head"].rpartition(":")[0].strip("[]"),
    )
    watch(_Cluster(), tell, time.monotonic, time.sleep)


def _end_with_papers(authority: Path) -> None:
    """Ray reads its papers at the start alone: once they are others, only a new process can speak to the head."""
    known = authority.read_bytes()

    def look() -> None:
        while authority.read_bytes() == known:
            time.sleep(_LOOK_SECONDS)
        os._exit(PAPERS_CHANGED)

    threading.Thread(target=look, name="papers", daemon=True).start()


class _Cluster:
    """See Cluster."""

    def nodes(self) -> list[dict[str, Any]]:
        return ray.nodes()

    def keepers(self) -> list[str]:
        return list_named_actors()

    def keep(self, name: str, node_id: str) -> None:
        affinity = NodeAffinitySchedulingStrategy(node_id, soft=False)
        lasting = {"lifetime": "detached", "get_if_exists": True, "max_restarts": -1, "num_cpus": 0}
        ray.remote(_OnNode).options(name=name, scheduling_strategy=affinity, **lasting).remote()

    def end(self, name: str) -> None:
        with suppress(ValueError):  # it has ended by itself
            ray.kill(ray.get_actor(name), no_restart=True)


class _OnNode(Keeper):
    """The keeper with the environment of the process that Ray starts for it."""

    def __init__(self) -> None:
        super().__init__(dict(os.environ))


if __name__ == "__main__":
    main()
