"""What Ray's list of nodes means for the platform's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aicp.core.ray_member import NODE_LABEL

_PREFIX = "agent-"


def nodes_by_name(nodes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """By the platform's name of a node: empty while Ray has a living one of it, else why the last one died."""
    found: dict[str, str] = {}
    for node in nodes:
        name = node["Labels"][NODE_LABEL]
        reason = "" if node["Alive"] else node.get("DeathReasonMessage") or "no reason given"
        if found.get(name) != "":
            found[name] = reason
    return found


def keeper_name(node: dict[str, Any]) -> str:
    """Name of the keeper of a Ray node. A machine that comes back is another node to Ray, and gets another keeper."""
    return f"{_PREFIX}{node['NodeID']}"


def without_keeper(nodes: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Living nodes that no keeper of `names` belongs to."""
    return [node for node in nodes if node["Alive"] and keeper_name(node) not in names]


def keepers_to_end(nodes: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Keepers of `names` whose node does not live."""
    living = {keeper_name(node) for node in nodes if node["Alive"]}
    return [name for name in names if name.startswith(_PREFIX) and name not in living]
