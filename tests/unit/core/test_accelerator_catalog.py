"""The accelerator catalogue: no figure without a source, and names that are found however they are spelled."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from aicp.core import accelerator_catalog as module
from aicp.core.accelerator_catalog import FIGURES, accelerator_catalog, find_catalog_accelerator
from aicp.core.errors import NotFoundError
from aicp.core.quantity import GIB
from aicp.core.simulated_cards import MOST_SIMULATED, catalog_facts, parse_simulated, same_card, split_cards


def test_every_figure_has_a_named_source_or_a_derivation():
    for card in accelerator_catalog():
        figures = card.model_dump(exclude={"name", "product", "vendor", "slicing", "sources", "derived", "note"})
        given = {name for name, value in figures.items() if value is not None}
        assert given == {*card.sources, *card.derived}, card.name
        assert all(len(text) > 10 for text in card.sources.values())
        assert not {*card.sources} & {*card.derived}


def test_names_are_unique_however_they_are_spelled():
    cards = catalog_facts()["cards"]
    assert len({same_card(card["name"]) for card in cards}) == len(cards)


def test_no_source_stands_there_unused():
    facts = catalog_facts()
    cited = {key for card in facts["cards"] for key in card.get("sources", {}).values()}
    cited |= {way["source"] for way in facts["ways"].values()}
    assert set(facts["sources"]) == cited
    assert set(facts["ways"]) == {way for card in facts["cards"] for way in card.get("ways", [])}


@pytest.mark.parametrize(
    "damage",
    [
        lambda card: card["sources"].pop("memory_gib"),
        lambda card: card.update(tdp_watts=1),
        lambda card: card["sources"].update(tflops_fp8="gpuhunt"),
    ],
    ids=["memory without a source", "a figure without a source", "a source without a figure"],
)
def test_a_row_that_breaks_the_rule_is_refused(monkeypatch: pytest.MonkeyPatch, damage: Any):
    facts = deepcopy(catalog_facts())
    damage(next(card for card in facts["cards"] if card["name"] == "T4"))
    monkeypatch.setattr(module, "catalog_facts", lambda: facts)
    with pytest.raises(ValueError, match="T4"):
        accelerator_catalog.__wrapped__()


def test_figures_come_in_units():
    card = find_catalog_accelerator("rtx 4090 d")
    assert (card.name, card.vendor, card.memory_bytes) == ("4090D", "nvidia", 24 * GIB)
    assert card.flops_16bit == pytest.approx(147.1e12)
    assert card.bandwidth_bytes_per_second == pytest.approx(1008e9)
    assert card.power_watts is None, "sources differ, so it is left out"
    assert set(FIGURES) >= {"memory_gib", "tdp_watts"}


def test_shapes_are_no_larger_than_the_card():
    for card in accelerator_catalog():
        for way in card.slicing:
            assert all(0 < shape.memory_bytes <= card.memory_bytes for shape in way.profiles), card.name
            assert all(0 < shape.compute_percent <= 100 for shape in way.profiles), card.name


def test_an_unknown_name_gets_the_closest_ones():
    with pytest.raises(NotFoundError) as caught:
        find_catalog_accelerator("H20")
    assert "H20-96G" in caught.value.message
    assert "H20-141G" in caught.value.message


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        ("", []),
        ("H20-96G:8, 910B3:4", [("H20-96G", 8), ("910B3", 4)]),
        ("l20", [("L20", 1)]),
        ("nvidia h100:2,Ascend 910B4-1:1,", [("H100", 2), ("910B4-1", 1)]),
    ],
)
def test_lists_of_simulated_cards(text: str, cards: list[tuple[str, int]]):
    parsed = parse_simulated(text)
    assert split_cards(parsed) == cards
    assert parse_simulated(",".join(parsed)) == parsed, "children read what their parent wrote"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("H20-96:8", "the closest: H20-96G"),
        ("H20-96G:0", "no kind of card with a count"),
        ("H20-96G:-1", "no kind of card with a count"),
        ("H20-96G:many", "no kind of card with a count"),
        ("H20-96G:8:8", "no kind of card with a count"),
        (":8", "no kind of card with a count"),
        ("$$$", "has no"),
        (f"L20:{MOST_SIMULATED},L4:1", "are more than"),
    ],
)
def test_what_is_no_list_is_explained(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        parse_simulated(text)
