"""The history of pools: what each has of accelerators and their memory, what is given away, and who waits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from aicp.core.accelerator import Accelerator
from aicp.core.node import Node
from aicp.scheduler.placement import CPU
from aicp.scheduler.resources import Commitment


def pool_values(
    nodes: Sequence[Node], commitments: Sequence[Commitment], waiting: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Pool -> metric -> value now. Processors are left out, as in the figures of a pool; so are pools without nodes.

    `waiting` counts, by pool, the replicas without a place. `pool_compute_given_percent` is the mean over all
    accelerators: 100 where each is given away whole.
    """
    cards: dict[str, list[tuple[str, Accelerator]]] = defaultdict(list)
    for node in nodes:
        devices = node.status.accelerators if node.status else []
        cards[node.pool] += [(node.id, device) for device in devices if device.vendor != CPU]
    compute, memory = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    whole: set[tuple[str, str]] = set()
    for item in commitments:
        for share in item.allocation.devices:
            key = (item.allocation.node_id, share.device_id)
            compute[key] += share.compute_percent
            memory[key] += share.memory_bytes
            if share.mechanism is None:
                whole.add(key)
    return {
        pool: {
            "pool_accelerators": len(found),
            "pool_accelerators_used": sum((node, card.device_id) in compute for node, card in found),
            "pool_compute_given_percent": sum(compute[node, card.device_id] for node, card in found)
            / (len(found) or 1),
            "pool_memory_bytes": sum(card.memory_bytes for _, card in found),
            "pool_memory_given_bytes": sum(
                card.memory_bytes if (node, card.device_id) in whole else memory[node, card.device_id]
                for node, card in found
            ),
            "pool_waiting": waiting.get(pool, 0),
        }
        for pool, found in cards.items()
    }
