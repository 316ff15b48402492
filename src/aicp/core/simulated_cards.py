"""How a list of simulated accelerators is written: `H20-96G:8, 910B3:4`, names after the accelerator catalogue.

Settings are read by processes that must stay small, so nothing here needs more than a YAML reader.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import yaml

MOST_SIMULATED = 1024
"""Of one node; more than any machine carries, and little enough for every list that shows them."""
_MAKERS = re.compile(r"^(nvidia|geforce|rtx|ascend|metax|iluvatar|amd|instinct)+")


def catalog_facts() -> dict[str, Any]:
    """The catalogue's file as it is written: `sources`, `ways` and `cards`."""
    text = files("aicp.core").joinpath("accelerator_catalog.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def same_card(name: str) -> str:
    """What two spellings of one name have in common: neither case, maker, spaces nor hyphens count."""
    plain = re.sub(r"[\s_-]", "", name).lower()
    return _MAKERS.sub("", plain) or plain


def find_card_name(name: str, known: Sequence[str]) -> str:
    """The name in `known` that `name` spells. Raises ValueError that lists the closest ones."""
    by_spelling, wanted = {same_card(item): item for item in known}, same_card(name)
    if wanted in by_spelling:
        return by_spelling[wanted]
    longer = [item for item in by_spelling if wanted and item.startswith(wanted)]
    close = dict.fromkeys([*longer, *difflib.get_close_matches(wanted, list(by_spelling), n=3, cutoff=0.4)])
    near = ", ".join(by_spelling[item] for item in list(close)[:4]) or ", ".join(known)
    raise ValueError(f"the accelerator catalogue has no {name!r}; the closest: {near}")


def parse_simulated(text: str) -> tuple[str, ...]:
    """`NAME:COUNT` for each kind of card, comma-separated; a name alone is one card.

    Raises ValueError that says what is wrong and what may be written.
    """
    given = [part.strip() for part in text.split(",") if part.strip()]
    if not given:
        return ()
    known = [str(card["name"]) for card in catalog_facts()["cards"]]
    cards = [_parse(part, known) for part in given]
    total = sum(count for _, count in cards)
    if total > MOST_SIMULATED:
        raise ValueError(f"{total} simulated accelerators are more than the {MOST_SIMULATED} that a node may have")
    return tuple(f"{name}:{count}" for name, count in cards)


def split_cards(parts: Iterable[str]) -> list[tuple[str, int]]:
    """(name, count) of what `parse_simulated` answered."""
    return [(name, int(count)) for name, _, count in (part.rpartition(":") for part in parts)]


def _parse(part: str, known: Sequence[str]) -> tuple[str, int]:
    name, colon, count = part.partition(":")
    if not name.strip() or (colon and not re.fullmatch(r"\s*[0-9]{1,6}\s*", count)) or (colon and int(count) < 1):
        raise ValueError(f"{part!r} is no kind of card with a count; write for example H20-96G:8")
    return find_card_name(name.strip(), known), int(count) if colon else 1
