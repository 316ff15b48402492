"""The accelerator catalogue: published facts of devices, each figure with a named source or how it was derived."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import Field

from aicp.core.errors import NotFoundError
from aicp.core.quantity import GIB, MIB
from aicp.core.simulated_cards import catalog_facts, find_card_name
from aicp.core.slice import SliceProfile, Slicing
from aicp.core.value import Value

FIGURES = ("memory_gib", "bandwidth_gbs", "tflops_16bit", "tflops_fp8", "tops_int8", "link_gbs", "tdp_watts")
"""Of the catalogue's file; every one that a card has needs a source or a derivation."""


class CatalogAccelerator(Value):
    """One kind of accelerator. None is a figure that no named source gives."""

    name: str = Field(description="short name: what settings and `pool advise` call it")
    product: str = Field(description="as people write it")
    vendor: str = Field(description="name of the driver that finds such devices: nvidia, ascend, ...")
    memory_bytes: int = Field(description="nominal; a device reports a little less")
    bandwidth_bytes_per_second: float | None = Field(default=None, description="of its memory")
    flops_16bit: float | None = Field(default=None, description="dense operations a second in BF16 or FP16")
    flops_fp8: float | None = Field(default=None, description="dense operations a second in FP8")
    ops_int8: float | None = Field(default=None, description="dense operations a second in INT8")
    link_bytes_per_second: float | None = Field(default=None, description="fast links, both directions together")
    power_watts: float | None = Field(default=None, description="thermal design power")
    slicing: list[Slicing] = Field(default=[], description="ways such a device is cut, the best first")
    sources: dict[str, str] = Field(default={}, description="figure -> where it is published")
    derived: dict[str, str] = Field(default={}, description="figure -> how it was derived, where nobody publishes it")
    note: str = ""


@cache
def accelerator_catalog() -> tuple[CatalogAccelerator, ...]:
    """All cards in the order of the file. Raises ValueError for a figure in the file without source or derivation."""
    facts = catalog_facts()
    ways = {name: _slicing(way, facts["sources"]) for name, way in facts["ways"].items()}
    return tuple(_card(card, ways, facts["sources"]) for card in facts["cards"])


def find_catalog_accelerator(name: str) -> CatalogAccelerator:
    """The card called `name`, however it is spelled. Raises NotFoundError that lists the closest ones."""
    cards = {card.name: card for card in accelerator_catalog()}
    try:
        return cards[find_card_name(name, list(cards))]
    except ValueError as error:
        text = str(error)
        raise NotFoundError(
            f"{text[0].upper()}{text[1:]}.", hint="`aicp accelerator catalog` lists all.", code="unknown_accelerator"
        ) from error


def _card(card: dict[str, Any], ways: dict[str, Slicing], sources: dict[str, str]) -> CatalogAccelerator:
    given = {figure: card[figure] for figure in FIGURES if figure in card}
    cited, derived = card.get("sources", {}), card.get("derived", {})
    bare = [figure for figure in given if figure not in cited and figure not in derived]
    if bare or not {*cited, *derived} <= given.keys():
        raise ValueError(f"{card['name']}: without a source {bare}; sources for {sorted({*cited, *derived})}")
    rates = {name: given[figure] * 1e12 if figure in given else None for figure, name in _RATES.items()}
    bandwidths = {name: given[figure] * 1e9 if figure in given else None for figure, name in _BANDWIDTHS.items()}
    return CatalogAccelerator(
        name=card["name"],
        product=card["product"],
        vendor=card["vendor"],
        memory_bytes=_in_mib(given["memory_gib"]),
        power_watts=given.get("tdp_watts"),
        slicing=[ways[name] for name in card.get("ways", [])],
        sources={_FIELDS[figure]: sources[key] for figure, key in cited.items()},
        derived={_FIELDS[figure]: text for figure, text in derived.items()},
        note=card.get("note", ""),
        **rates,
        **bandwidths,
    )


def _slicing(way: dict[str, Any], sources: dict[str, str]) -> Slicing:
    shapes = [
        SliceProfile(name=name, compute_percent=percent, memory_bytes=_in_mib(gib))
        for name, percent, gib in way.get("profiles", [])
    ]
    fields = {name: value for name, value in way.items() if name not in ("profiles", "source")}
    return Slicing(**fields, profiles=shapes, note=f"Units after {sources[way['source']]}.")


def _in_mib(gib: float) -> int:
    return int(gib * GIB) // MIB * MIB


_RATES = {"tflops_16bit": "flops_16bit", "tflops_fp8": "flops_fp8", "tops_int8": "ops_int8"}
_BANDWIDTHS = {"bandwidth_gbs": "bandwidth_bytes_per_second", "link_gbs": "link_bytes_per_second"}
_FIELDS = {"memory_gib": "memory_bytes", "tdp_watts": "power_watts", **_RATES, **_BANDWIDTHS}
