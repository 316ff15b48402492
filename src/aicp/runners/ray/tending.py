"""What is told and done as Ray's nodes come and go. Ray's interface is an argument."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Protocol

from aicp.core.ray_member import HEAD, NODE_LABEL
from aicp.runners.ray.nodes import keeper_name, keepers_to_end, nodes_by_name, without_keeper

LOOK_SECONDS = 0.1
KEEPERS_SECONDS = 1.0
PAPERS_CHANGED = 3
"""Exit code of a connection whose papers are not those of Ray any more."""


class Cluster(Protocol):
    """Of Ray's interface what is needed."""

    def nodes(self) -> list[dict[str, Any]]:
        """Every node, dead ones too."""
        ...

    def keepers(self) -> list[str]:
        """Names of the actors that there are."""
        ...

    def keep(self, name: str, node_id: str) -> None:
        """Has a keeper started on a node; returns at once. One of that name is success."""
        ...

    def end(self, name: str) -> None:
        """Ends a keeper for good; one that has ended is success."""
        ...


def watch(
    cluster: Cluster, say: Callable[[str], None], monotonic: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Tells of each change, and keeps one keeper on each node but the head, whose agent is the platform's child."""
    said = ""
    looked = float("-inf")
    while True:
        seen = [node for node in cluster.nodes() if node["Labels"].get(NODE_LABEL, HEAD) != HEAD]
        text = json.dumps(nodes_by_name(seen), sort_keys=True)
        if text != said:
            say(text)
        if text != said or monotonic() - looked >= KEEPERS_SECONDS:
            _tend(cluster, seen)
            looked = monotonic()
        said = text
        sleep(LOOK_SECONDS)


def tell(text: str) -> None:
    """One line for the runner."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _tend(cluster: Cluster, nodes: list[dict[str, Any]]) -> None:
    """One keeper on every living node; those of dead ones are ended, as they would wait for their node for ever."""
    names = cluster.keepers()
    for node in without_keeper(nodes, names):
        cluster.keep(keeper_name(node), node["NodeID"])
    for name in keepers_to_end(nodes, names):
        cluster.end(name)
