"""Accelerators as Kubernetes names them: the extended resources of each vendor's device plugin, and of two schedulers
that cut cards.

Resource names and units: HAMi 2.9 (its device configuration), Volcano 1.12 (vGPU), and each vendor's own plugin for
whole cards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SlicePolicy, Slicing

CPU = "cpu"
SCHEDULER_NAMES = {"hami": "hami-scheduler", "volcano": "volcano"}
_PIECE = 256 * MIB


@dataclass(frozen=True, slots=True)
class SharedCards:
    """How a scheduler counts the slices of one vendor. `{product}` stands for the card's name, such as Ascend910B3.

    `memory_unit` is what one of `memory` means, in bytes (None: the value is written with a suffix, in MiB);
    `core_percent` what one of `cores` means.
    """

    count: str
    memory: str | None = None
    memory_unit: int | None = MIB
    cores: str | None = None
    core_percent: float = 1
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    pin: str | None = None
    """The annotation that names the very cards; None where the scheduler chooses among those of the node."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor. `whole` are the resources of its own device plugin, the first one that a node has being meant."""

    name: str
    whole: tuple[str, ...]
    shared: Mapping[str, SharedCards]
    product_label: str | None = None
    memory_label: str | None = None
    """Label of a node that holds a card's memory in MiB."""
    register: str | None = None
    """Beginning of the annotation of a node in which HAMi lists the cards."""


_ASCEND = SharedCards("huawei.com/{product}", "huawei.com/{product}-memory", MIB, "huawei.com/{product}-core")
VENDORS: Mapping[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            "nvidia",
            ("nvidia.com/gpu",),
            {
                "hami": SharedCards(
                    "nvidia.com/gpu", "nvidia.com/gpumem", MIB, "nvidia.com/gpucores", pin="nvidia.com/use-gpuuuid"
                ),
                "volcano": SharedCards(
                    "volcano.sh/vgpu-number", "volcano.sh/vgpu-memory", MIB, "volcano.sh/vgpu-cores"
                ),
            },
            "nvidia.com/gpu.product",
            "nvidia.com/gpu.memory",
            "hami.io/node-nvidia-register",
        ),
        Vendor(
            "ascend",
            ("huawei.com/Ascend910", "huawei.com/Ascend310P"),
            {"hami": _ASCEND, "volcano": _ASCEND},
            "node.kubernetes.io/npu.chip.name",
            register="hami.io/node-register-Ascend",
        ),
        Vendor(
            "hygon",
            ("hygon.com/dcu",),
            {"hami": SharedCards("hygon.com/dcunum", "hygon.com/dcumem", MIB, "hygon.com/dcucores")},
            register="hami.io/node-dcu-register",
        ),
        Vendor(
            "metax",
            ("metax-tech.com/gpu",),
            {
                "hami": SharedCards(
                    "metax-tech.com/sgpu",
                    "metax-tech.com/vmemory",
                    None,
                    "metax-tech.com/vcore",
                    annotations={"metax-tech.com/sgpu-qos-policy": "fixed-share"},
                )
            },
        ),
        Vendor(
            "iluvatar",
            ("iluvatar.com/gpu",),
            {
                "hami": SharedCards(
                    "iluvatar.ai/{product}-vgpu",
                    "iluvatar.ai/{product}.vMem",
                    _PIECE,
                    "iluvatar.ai/{product}.vCore",
                )
            },
        ),
        Vendor(
            "cambricon",
            ("cambricon.com/mlu",),
            {
                "hami": SharedCards(
                    "cambricon.com/vmlu", "cambricon.com/mlu.smlu.vmemory", _PIECE, "cambricon.com/mlu.smlu.vcore"
                )
            },
        ),
        Vendor(
            "mthreads",
            ("mthreads.com/gpu",),
            {
                "hami": SharedCards(
                    "mthreads.com/vgpu", "mthreads.com/sgpu-memory", 512 * MIB, "mthreads.com/sgpu-core", 100 / 16
                )
            },
        ),
        Vendor(
            "amd",
            ("amd.com/gpu",),
            {"hami": SharedCards("amd.com/gpu", "amd.com/gpumem", MIB, "amd.com/gpucores")},
            register="hami.io/node-amd-register",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class PodResources:
    """What a container asks for, and what that says of its pod."""

    limits: dict[str, str]
    requests: dict[str, str]
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    scheduler: str | None = None


def pod_resources(allocation: Allocation, scheduler: str, products: Mapping[str, str]) -> PodResources:
    """Limits and requests for an allocation. `products` maps device ids to the names of the cards.

    Raises InvalidError for a slice that nothing in the cluster can hold.
    """
    cores, memory = f"{max(1, round(allocation.cpu_cores * 1000))}m", str(allocation.memory_bytes)
    limits, requests = {"cpu": cores, "memory": memory}, {"cpu": cores, "memory": memory}
    if any(share.vendor == CPU and share.policy == SlicePolicy.WEIGHT and share.mechanism for share in _of(allocation)):
        del limits["cpu"]  # a guarantee that may borrow what is idle: a request without a limit
    cards = [share for share in allocation.devices if share.vendor != CPU]
    if not cards:
        return PodResources(limits, requests)
    vendor = _vendor(cards)
    if all(share.mechanism is None for share in cards) and scheduler not in vendor.shared:
        name = _whole_resource(vendor, products.get(cards[0].device_id, ""))
        return PodResources(limits | {name: str(len(cards))}, requests | {name: str(len(cards))})
    extended, annotations = _shared(vendor, scheduler, cards, products)
    return PodResources(limits | extended, requests | extended, annotations, SCHEDULER_NAMES[scheduler])


def slicing_of(vendor: str, scheduler: str) -> list[Slicing]:
    """In which ways a card of a vendor can be cut in a cluster with this scheduler."""
    if vendor == CPU:
        return [
            Slicing(
                mechanism="cgroup",
                policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT],
                note="limits of the container, set by the node's kubelet",
            )
        ]
    shared = VENDORS[vendor].shared.get(scheduler) if vendor in VENDORS else None
    if shared is None or shared.memory is None:
        return []
    return [
        Slicing(
            mechanism=scheduler,
            compute_unit_percent=shared.core_percent if shared.cores else 100,
            memory_unit_bytes=max(_PIECE, shared.memory_unit or MIB),
            note=f"held by what {SCHEDULER_NAMES[scheduler]} puts into the container",
        )
    ]


def _of(allocation: Allocation) -> list[DeviceShare]:
    return allocation.devices


def _vendor(cards: Sequence[DeviceShare]) -> Vendor:
    names = {share.vendor for share in cards}
    if len(names) > 1:
        raise InvalidError(f"One container cannot have cards of several vendors ({', '.join(sorted(names))}).")
    name = names.pop()
    if name not in VENDORS:
        raise InvalidError(
            f"This runner does not know how Kubernetes names accelerators of the vendor {name!r}.",
            hint=f"Known: {', '.join(sorted(VENDORS))}.",
        )
    return VENDORS[name]


def _whole_resource(vendor: Vendor, product: str) -> str:
    return next((name for name in vendor.whole if product and name.endswith(product)), vendor.whole[0])


def _shared(
    vendor: Vendor, scheduler: str, cards: Sequence[DeviceShare], products: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    shared = vendor.shared.get(scheduler)
    if shared is None:
        able = sorted(vendor.shared) or ["none"]
        raise InvalidError(
            f"A part of an accelerator of {vendor.name} was asked, and the cluster's scheduler ({scheduler}) cannot "
            "cut it.",
            hint=f"Set AICP_KUBERNETES_SCHEDULER to {' or '.join(able)}, or publish on whole accelerators.",
        )
    first = cards[0]
    whole = first.mechanism is None
    if any((item.compute_percent, item.memory_bytes, item.mechanism) != _size(first) for item in cards):
        raise InvalidError("The parts of several cards must be equal: Kubernetes counts them by one number.")
    product = products.get(first.device_id, "")
    if "{product}" in shared.count and not product:
        raise InvalidError(f"The card {first.device_id} is of no known product, so its resource has no name.")
    found = {shared.count: str(len(cards))}
    if shared.memory is not None and not whole:
        found[shared.memory] = _memory(first.memory_bytes, shared.memory_unit)
    if shared.cores is not None:
        percent = 100 if whole else first.compute_percent
        found[shared.cores] = str(min(round(100 / shared.core_percent), -(-percent // shared.core_percent).__trunc__()))
    annotations = dict(shared.annotations)
    if shared.pin is not None and all(item.device_id.startswith("GPU-") for item in cards):
        annotations[shared.pin] = ",".join(item.device_id for item in cards)
    return {name.replace("{product}", product): value for name, value in found.items()}, annotations


def _size(share: DeviceShare) -> tuple[int, int, str | None]:
    return share.compute_percent, share.memory_bytes, share.mechanism


def _memory(count: int, unit: int | None) -> str:
    if unit is None:
        return f"{count // GIB}" if count % GIB == 0 else f"{-(-count // MIB)}Mi"
    return str(-(-count // unit))
