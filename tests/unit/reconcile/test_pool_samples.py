"""What is kept of pools over time."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.runner import make_node_status

from aicp.accelerators.simulated import SimulatedDriver
from aicp.core.launch import Allocation, DeviceShare
from aicp.core.node import Node, NodeState
from aicp.core.quantity import GIB
from aicp.reconcile.pool_samples import pool_values
from aicp.scheduler.resources import Commitment


def _node(pool: str, cards: int) -> Node:
    status = make_node_status()
    devices = [*status.accelerators, *SimulatedDriver([("H100", cards)]).discover()]
    return Node(
        id=f"node_{pool}",
        name=pool,
        pool=pool,
        state=NodeState.READY,
        address="unix:agent.sock",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        status=status.model_copy(update={"accelerators": devices}),
    )


def _held(node: Node, card: int, compute: int, memory: int, mechanism: str | None) -> Commitment:
    assert node.status is not None
    device = node.status.accelerators[1 + card]
    share = DeviceShare(
        vendor=device.vendor,
        device_id=device.device_id,
        index=device.index,
        compute_percent=compute,
        memory_bytes=memory,
        mechanism=mechanism,
    )
    return Commitment("r", "s", Allocation(node_id=node.id, devices=[share], cpu_cores=1, memory_bytes=GIB))


def test_slices_count_as_far_as_they_go_and_whole_cards_wholly() -> None:
    node, other = _node("a", 4), _node("b", 1)
    assert node.status is not None
    size = node.status.accelerators[1].memory_bytes
    held = [
        _held(node, 0, 100, 3 * GIB, None),  # given whole, whatever it needs
        _held(node, 1, 30, 2 * GIB, "interposer"),
        _held(node, 1, 20, GIB, "interposer"),
    ]
    found = pool_values([node, other], held, {"a": 3})
    assert found["a"] == {
        "pool_accelerators": 4,
        "pool_accelerators_used": 2,
        "pool_compute_given_percent": 150 / 4,
        "pool_memory_bytes": 4 * size,
        "pool_memory_given_bytes": size + 3 * GIB,
        "pool_waiting": 3,
    }
    assert (found["b"]["pool_accelerators_used"], found["b"]["pool_waiting"]) == (0, 0)


def test_a_pool_of_processors_has_no_cards() -> None:
    node = _node("a", 0)
    assert pool_values([node], [], {})["a"]["pool_compute_given_percent"] == 0
