"""The cluster's nodes as the platform's own: their processors, their memory, and the cards their labels tell of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes.aio import client

from aicp.core.accelerator import Accelerator, AcceleratorHealth
from aicp.core.node import EnvironmentState, EnvironmentStatus, NodeStatus
from aicp.core.quantity import MIB
from aicp.runners.kubernetes import names
from aicp.runners.kubernetes.options import EngineImage
from aicp.runners.kubernetes.resources import CPU, VENDORS, Vendor, slicing_of

_SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_AGENT = "kubelet"
_PRODUCT_LIST = "hami.io/node-register-"


def is_ready(node: client.V1Node) -> bool:
    """Whether its kubelet answers."""
    conditions = (node.status.conditions if node.status else None) or []
    return any(item.type == "Ready" and item.status == "True" for item in conditions)


def node_status(node: client.V1Node, scheduler: str, images: Sequence[EngineImage]) -> NodeStatus:
    """What a node has for engines. What its system keeps for itself counts as used memory."""
    status, labels = node.status, names.head(node).labels or {}
    allocatable = (status.allocatable if status else None) or {}
    capacity = (status.capacity if status else None) or {}
    info = status.node_info if status else None
    cores, memory = quantity(allocatable.get("cpu", "0")), round(quantity(allocatable.get("memory", "0")))
    architecture = info.architecture if info else ""
    version = info.kubelet_version if info else ""
    cordoned = bool(node.spec and node.spec.unschedulable)
    processor = Accelerator(
        vendor=CPU,
        index=0,
        device_id="cpu-0",
        product=f"{architecture or 'host'} processor",
        memory_bytes=memory,
        cores=max(1, int(cores)),
        slicing=slicing_of(CPU, scheduler),
    )
    return NodeStatus(
        node_id=names.head(node).name or "",
        hostname=labels.get("kubernetes.io/hostname") or names.head(node).name or "",
        os=info.operating_system if info else "linux",
        architecture=_ARCHITECTURES.get(architecture, architecture),
        cpu_cores=max(1, int(cores)),
        memory_bytes=round(quantity(capacity.get("memory", "0"))) or memory,
        memory_used_bytes=max(0, round(quantity(capacity.get("memory", "0"))) - memory),
        disk_free_bytes=round(quantity(allocatable.get("ephemeral-storage", "0"))),
        agent_version=f"{_AGENT} {version}".strip(),
        accelerators=[_marked(item, cordoned) for item in (processor, *_cards(node, scheduler))],
        environments=_environments(images),
    )


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: `3920m`, `16Gi`, `8`, `1e3`. Raises ValueError for what is none."""
    for suffix, factor in _SUFFIXES.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text or 0)


def _cards(node: client.V1Node, scheduler: str) -> list[Accelerator]:
    found: list[Accelerator] = []
    for vendor in VENDORS.values():
        listed = _listed(node, vendor, scheduler)
        found += listed if listed is not None else _counted(node, vendor, scheduler)
    return found


def _listed(node: client.V1Node, vendor: Vendor, scheduler: str) -> list[Accelerator] | None:
    """The cards that HAMi's device plugin wrote down, as a JSON list; None where it did not."""
    if vendor.register is None or scheduler != "hami":
        return None
    for name, text in sorted((names.head(node).annotations or {}).items()):
        if not name.startswith(vendor.register):
            continue
        try:
            entries: list[dict[str, Any]] = json.loads(text)
            # where there is a list for each product, its name is the end of the annotation's
            product = name.removeprefix(_PRODUCT_LIST) if name.startswith(_PRODUCT_LIST) else ""
            return [_from_entry(entry, index, product, vendor) for index, entry in enumerate(entries)]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # an older plugin's own format: the counts still tell how many there are
    return None


def _from_entry(entry: Mapping[str, Any], index: int, product: str, vendor: Vendor) -> Accelerator:
    healthy = bool(entry.get("health", True))
    return Accelerator(
        vendor=vendor.name,
        index=int(entry.get("index", index)),
        device_id=str(entry["id"]),
        product=product or str(entry.get("type") or vendor.name).removeprefix("NVIDIA-"),
        memory_bytes=int(entry["devmem"]) * MIB,
        health=AcceleratorHealth.HEALTHY if healthy else AcceleratorHealth.FAILED,
        health_reason=None if healthy else "the device plugin of the node says that it is ill",
        slicing=slicing_of(vendor.name, "hami"),
    )


def _counted(node: client.V1Node, vendor: Vendor, scheduler: str) -> list[Accelerator]:
    """As many cards as the node's device plugin offers, with what the node's labels say of them."""
    allocatable = (node.status.allocatable if node.status else None) or {}
    shared = vendor.shared.get(scheduler)
    offered = {name: number for name, number in allocatable.items() if name in vendor.whole}
    if shared is not None:
        offered |= {name: number for name, number in allocatable.items() if _matches(name, shared.count)}
    resource = next((name for name, number in offered.items() if quantity(number) >= 1), None)
    if resource is None:
        return []
    labels = names.head(node).labels or {}
    product = labels.get(vendor.product_label or "") or resource.split("/")[1]
    product = _product(resource, shared.count if shared is not None else "") or product
    memory = int(labels.get(vendor.memory_label or "", "0") or 0) * MIB
    reason = None if memory else "the node's labels do not tell its memory; it cannot be planned for"
    return [
        Accelerator(
            vendor=vendor.name,
            index=index,
            device_id=f"{names.head(node).name}/{vendor.name}-{index}",
            product=product,
            memory_bytes=memory,
            health=AcceleratorHealth.HEALTHY if memory else AcceleratorHealth.UNKNOWN,
            health_reason=reason,
            # without a list of the cards their true number is unknown: what is offered may be parts of fewer
            slicing=[],
        )
        for index in range(int(quantity(offered[resource])))
    ]


def _matches(name: str, pattern: str) -> bool:
    head, marker, tail = pattern.partition("{product}")
    return (
        name == pattern
        if not marker
        else name.startswith(head) and name.endswith(tail) and "." not in name[len(head) :]
    )


def _product(resource: str, pattern: str) -> str:
    head, marker, tail = pattern.partition("{product}")
    return resource[len(head) : len(resource) - len(tail)] if marker and _matches(resource, pattern) else ""


def _marked(item: Accelerator, cordoned: bool) -> Accelerator:
    if not cordoned:
        return item
    # only what has failed is given to nobody
    reason = "the node is cordoned: `kubectl uncordon` lets it take replicas again"
    return item.model_copy(update={"health": AcceleratorHealth.FAILED, "health_reason": reason})


def _environments(images: Sequence[EngineImage]) -> list[EnvironmentStatus]:
    """An image is an engine's environment: every node can have it."""
    return [
        EnvironmentStatus(
            engine=item.engine,
            version=item.version,
            variant=item.variant,
            state=EnvironmentState.INSTALLED,
            message=f"container image {item.image}",
        )
        for item in images
        if item.version and item.variant
    ]
