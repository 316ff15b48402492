"""Made-up clusters and mixes of replicas, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SliceRequest, Slicing
from aicp.scheduler.pending import Pending
from aicp.scheduler.placement import Device, NodeCapacity, Requirement
from aicp.scheduler.room import SLICE_RESERVE_BYTES

POOL = "default"
_SHARED = Slicing(mechanism="mps", memory_unit_bytes=MIB, at_most=48)
_ENDLESS = Slicing(mechanism="mps", memory_unit_bytes=MIB)
CARD = (100, 48)
"""Compute and memory in GiB of the cards that packing is measured on."""


def cluster(nodes: int) -> tuple[NodeCapacity, ...]:
    """Nodes of eight cards: a third each of 24, 48 and 80 GiB."""
    return tuple(_node(number, (24, 48, 80)[number % 3] * GIB, _SHARED) for number in range(nodes))


def equal_cards(count: int) -> tuple[NodeCapacity, ...]:
    """At least so many cards of 100 % and 48 GiB beside what is kept back, and more host than anybody asks for."""
    return tuple(
        _node(number, CARD[1] * GIB + SLICE_RESERVE_BYTES, _ENDLESS, 1 << 50) for number in range(-(-count // 8))
    )


def _node(number: int, memory: int, way: Slicing, host: int = 1024 * GIB) -> NodeCapacity:
    name = f"node-{number:04}"
    product = f"{memory // GIB} GiB card"
    cards = tuple(Device("nvidia", f"gpu-{index}", index, product, memory, slicing=(way,)) for index in range(8))
    return NodeCapacity(name, name, POOL, 128, host, cards)


def mixed(seed: int, services: int, replicas: int) -> list[Pending]:
    """Replicas of many services: about a seventh on one to four whole cards, the others slices of every size."""
    chance = random.Random(seed)
    needs: list[Requirement] = []
    for _ in range(services):
        asked = SliceRequest(compute_percent=chance.randint(1, 100), memory_bytes=chance.randint(1, 90) * 256 * MIB)
        count, whole = chance.choice([1, 1, 2, 4]), chance.random() < 0.15
        needs.append(
            Requirement(POOL, "nvidia", count, 20 * GIB, 4, 8 * GIB)
            if whole
            else Requirement(POOL, "nvidia", 1, 0, 1, GIB, asked)
        )
    return [Pending(f"r{n:05}", f"s{n % services}", needs[n % services]) for n in range(replicas)]


@dataclass(frozen=True)
class Mix:
    """Slices to be packed: sizes in percent and GiB, and how many of each."""

    name: str
    sizes: list[tuple[int, int]]
    counts: list[int]

    def pending(self) -> list[Pending]:
        """The replicas of this mix."""
        needs = [
            Requirement(POOL, "nvidia", 1, 0, 0.01, 1, SliceRequest(compute_percent=c, memory_bytes=m * GIB))
            for c, m in self.sizes
        ]
        return [
            Pending(f"r{kind}-{number}", f"s{kind}", need)
            for kind, (need, count) in enumerate(zip(needs, self.counts, strict=True))
            for number in range(count)
        ]


_COMPUTE, _MEMORY = (5, 10, 15, 20, 25, 30, 40, 50), (1, 2, 3, 4, 6, 8, 12, 16, 24)


def random_mix(shape: str, kinds: int, seed: int, most: int = 200) -> Mix:
    """One of four shapes: `any` size, up to `half` a card, memory `alike` to compute, or round sizes off a `menu`."""
    chance = random.Random(f"{shape}{kinds}{seed}")
    sizes: list[tuple[int, int]] = []
    while len(sizes) < kinds:
        compute = chance.randint(1, 60)
        size = {
            "any": (chance.randint(1, 100), chance.randint(1, 48)),
            "half": (chance.randint(1, 50), chance.randint(1, 24)),
            "alike": (compute, max(1, min(48, round(compute * 0.48 * chance.uniform(0.5, 1.5))))),
            "menu": (chance.choice(_COMPUTE), chance.choice(_MEMORY)),
        }[shape]
        if size not in sizes:
            sizes.append(size)
    return Mix(f"{shape}, {kinds} sizes, seed {seed}", sizes, [chance.randint(max(1, most // 10), most) for _ in sizes])


ADVERSARIAL = (
    Mix("thirds and a bit", [(34, 1), (33, 1)], [300, 300]),
    Mix("a half, a third and a seventh, each and a bit", [(51, 1), (34, 1), (15, 1)], [600, 600, 600]),
    Mix("the same in both resources", [(51, 25), (34, 17), (15, 6)], [600, 600, 600]),
    Mix("opposite needs", [(70, 5), (30, 43), (50, 24)], [200, 200, 200]),
    Mix("quarters and halves, above and below", [(26, 4), (24, 4), (51, 4), (49, 4)], [200, 200, 200, 200]),
    Mix(
        "three that fill a card and two that nearly do", [(20, 24), (40, 12), (40, 12), (45, 23)], [200, 200, 200, 200]
    ),
)
"""Families on which first fit and best fit are known to do badly, and mirrored ones in two resources."""
