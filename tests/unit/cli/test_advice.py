"""`aicp pool advise`: the file it reads, the shipped example, and how the answer is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicp.cli.advice import draw, example_text, read_request
from aicp.core.advice import AdviceRequest
from aicp.core.errors import InvalidError
from aicp.planner.advice import advise

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "plan-a-pool.md"


def test_the_shipped_example_goes_from_three_cards_to_one_or_two(tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(example_text())
    advice = advise(read_request(file))
    counts = {card.card: (card.whole_cards, card.sliced_cards) for card in advice.cards}
    assert counts == {"4090D": (3, 1), "H20-96G": (3, 1), "L20": (3, 2)}
    assert all(card.exact and card.fits and card.mechanism == "mps" for card in advice.cards)
    assert advice.best == "4090D", "one of the smallest"
    assert advice.simulated
    # 25, 40 and 30 % of a 4090D by 147.1 / 119.5
    shares = {share.service: share.compute_percent for card in advice.cards[2].packing for share in card.shares}
    assert shares == {"embedding": 31, "rerank": 50, "ocr": 37}
    drawn = "\n".join(draw(advice))
    assert "L20 (NVIDIA L20 48GB): 3 whole or 2 sliced" in drawn
    assert "nothing was run" in drawn


def test_bars_are_to_scale() -> None:
    file = {"services": [{"name": "a", "compute_percent": 20, "memory": "1GiB"}], "cards": ["L20"], "reserve": "0"}
    lines = draw(advise(AdviceRequest.model_validate(file)))
    compute = next(line for line in lines if "compute [" in line)
    memory = next(line for line in lines if "memory  [" in line)
    assert (compute.count("A"), memory.count("A")) == (10, 1)
    assert len(compute.split("[")[1].split("]")[0]) == 50
    assert "80 % free" in compute


def test_a_file_that_is_no_question_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    for text, said in {
        "a: [": "cannot be read as YAML",
        "- a": "holds no `services`",
        "services: [{name: a}]": "services.0.memory_bytes",
        "services: []\ncards: [L20]": "services",
    }.items():
        file.write_text(text)
        with pytest.raises(InvalidError, match=said):
            read_request(file)
    with pytest.raises(InvalidError, match="cannot be read"):
        read_request(tmp_path / "absent.yaml")


def test_the_guide_shows_the_shipped_example_and_its_answer(tmp_path: Path) -> None:
    guide = GUIDE.read_text()
    assert example_text() in guide
    file = tmp_path / "example.yaml"
    file.write_text(example_text())
    assert "\n".join(draw(advise(read_request(file)))) in guide
