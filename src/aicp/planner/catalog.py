"""Whether a well-known model would run in a pool, before it has been imported."""

from __future__ import annotations

from collections.abc import Sequence

from aicp.core.accelerator import SIMULATED
from aicp.core.catalog import CatalogFit, CatalogModel
from aicp.core.quantity import GIB, format_bytes
from aicp.planner.sizing import HOST_BESIDE_ACCELERATOR, RESERVE_LEAST, RESERVE_SHARE, USABLE_SHARE
from aicp.scheduler.placement import CPU, Device, NodeCapacity, Placement, Refusal, Requirement, Snapshot, place

_CACHE_SHARE = 0.1
"""Of the weights as published, for the cache of a few requests; the facts for the exact figure come with the import."""
_ENGINE_BYTES = {CPU: 1 * GIB}
_ENGINE_BESIDE_WEIGHTS = 3 * GIB
"""Of an engine's process: on the CPU, and on the first of other accelerators."""
_COUNTS = (1, 2, 4, 8, 16)
_BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "fp8": 8, "int8": 8, "mxfp4": 4}
_SMALLER = (("int8", 8), ("int4", 4))


def judge_catalog(model: CatalogModel, served: bool, pool: str, snapshot: Snapshot) -> CatalogFit:
    """The fewest accelerators that hold it, as published or else in a smaller format; what runs now counts as away.

    `served` tells whether any engine serves models of this type.
    """
    needed = _needed(model, model.weight_bytes, CPU)
    if not served:
        text = f"No engine of this platform serves models of type {model.type}."
        return CatalogFit(fits=False, reason=text, needed_bytes=needed)
    empty = Snapshot(snapshot.nodes)
    nodes = [node for node in snapshot.nodes if node.pool == pool]
    for name, weights in _formats(model):
        found = _try(model, name, weights, pool, nodes, empty)
        if found is not None:
            return found
    answer = place(Requirement(pool, CPU, 0, 0, 1.0, needed), empty)
    sentence = answer.sentence if isinstance(answer, Refusal) else f"no node in pool {pool} has enough accelerators"
    return CatalogFit(
        fits=False,
        reason=f"It needs about {format_bytes(needed)}, and {sentence}.",
        needed_bytes=needed,
        largest_bytes=max((device.memory_bytes for device in _real(nodes)), default=None),
    )


def _formats(model: CatalogModel) -> list[tuple[str | None, int]]:
    bits = _BITS.get(model.dtype, 16)
    smaller = [(name, model.weight_bytes * less // bits) for name, less in _SMALLER if less < bits]
    return [(None, model.weight_bytes), *smaller]


def _needed(model: CatalogModel, weights: int, vendor: str) -> int:
    engine = _ENGINE_BYTES.get(vendor, _ENGINE_BESIDE_WEIGHTS)
    estimate = weights + int(model.weight_bytes * _CACHE_SHARE) + engine
    return estimate + max(RESERVE_LEAST, int(estimate * RESERVE_SHARE))


def _try(
    model: CatalogModel, name: str | None, weights: int, pool: str, nodes: Sequence[NodeCapacity], snapshot: Snapshot
) -> CatalogFit | None:
    """Accelerators before the CPU, fewer before more."""
    vendors = sorted({device.vendor for device in _real(nodes)}, key=lambda item: (item == CPU, item))
    for vendor in vendors:
        needed = _needed(model, weights, vendor)
        for count in (1,) if vendor == CPU else _COUNTS:
            placement = place(_requirement(pool, vendor, count, needed), snapshot)
            if isinstance(placement, Placement):
                return _fit(placement, vendor, count, name, needed, nodes)
    return None


def _real(nodes: Sequence[NodeCapacity]) -> list[Device]:
    return [device for node in nodes for device in node.devices if device.vendor != SIMULATED]


def _requirement(pool: str, vendor: str, count: int, needed: int) -> Requirement:
    if vendor == CPU:
        return Requirement(pool, CPU, 0, 0, 1.0, needed)
    return Requirement(pool, vendor, count, int(needed / count / USABLE_SHARE), 1.0, HOST_BESIDE_ACCELERATOR)


def _fit(
    placement: Placement, vendor: str, count: int, name: str | None, needed: int, nodes: Sequence[NodeCapacity]
) -> CatalogFit:
    node = next(node for node in nodes if node.id == placement.allocation.node_id)
    taken = placement.allocation.devices[0].device_id if placement.allocation.devices else None
    device = next(item for item in node.devices if item.vendor == vendor and taken in (None, item.device_id))
    on = "the processor" if vendor == CPU else f"{count} x {device.product}"
    smaller = f", as an {name} version" if name else ""
    return CatalogFit(
        fits=True,
        reason=f"It needs about {format_bytes(needed)} and runs on {on} with {format_bytes(device.memory_bytes)}"
        f" (node {node.name}){smaller}.",
        needed_bytes=needed,
        vendor=vendor,
        product=device.product,
        accelerators=count,
        largest_bytes=device.memory_bytes,
        quantization=name,
    )
