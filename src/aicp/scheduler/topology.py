"""Which accelerators of a node work well together: those with the fastest links between them.

Tensor parallelism exchanges activations after every layer, so the slowest link of the group sets its pace. Kinds of
links from fast to slow, after what `nvidia-smi topo` and its relatives of other vendors tell apart: a direct link, one
PCIe switch, one host bridge, one memory node, across sockets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FAST = ("nvlink", "hccs", "xgmi", "metaxlink", "mlulink", "mtlink")
_TIERS: Sequence[frozenset[str]] = (
    frozenset(FAST),
    frozenset({"pcie-switch", "pix", "pxb"}),
    frozenset({"pcie", "phb"}),
    frozenset({"numa", "node"}),
)


def tier(kind: str | None) -> int:
    """0 is the fastest; what is not known counts as the slowest."""
    return next((place for place, kinds in enumerate(_TIERS) if kind in kinds), len(_TIERS))


def nearest(device_ids: Sequence[str], count: int, links: Mapping[tuple[str, str], str]) -> list[str]:
    """`count` of `device_ids` with the fastest links between them; the first ones where no link is known.

    For each tier from fast to slow the devices fall into islands; the smallest island that is large enough is taken,
    so that large islands stay whole.
    """
    if count < 2 or count >= len(device_ids) or not links:
        return list(device_ids[:count])
    for level in range(len(_TIERS)):
        large = [island for island in _islands(device_ids, links, level) if len(island) >= count]
        if large:
            return min(large, key=len)[:count]
    return list(device_ids[:count])


def _islands(device_ids: Sequence[str], links: Mapping[tuple[str, str], str], level: int) -> list[list[str]]:
    """Devices that reach each other through links of this tier or a faster one."""
    islands: list[list[str]] = []
    left = list(device_ids)
    while left:
        island: list[str] = []
        frontier = [left.pop(0)]
        while frontier:
            one = frontier.pop()
            island.append(one)
            reached = [
                other for other in left if min(tier(links.get((one, other))), tier(links.get((other, one)))) <= level
            ]
            left = [other for other in left if other not in reached]
            frontier.extend(reached)
        islands.append(sorted(island, key=device_ids.index))
    return islands
