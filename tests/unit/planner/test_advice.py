"""How many cards services need: shares from card to card, whole against sliced, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aicp.core.accelerator_catalog import accelerator_catalog
from aicp.core.advice import AdviceRequest, CardAdvice
from aicp.core.errors import InvalidError
from aicp.core.quantity import GIB
from aicp.planner.advice import advise


def ask(*services: dict[str, Any], cards: list[Any], **more: Any) -> list[CardAdvice]:
    named = [{"name": f"s{number}", "memory": "2GiB", **service} for number, service in enumerate(services)]
    return advise(AdviceRequest.model_validate({"services": named, "cards": cards, **more})).cards


def test_a_share_of_no_named_card_is_the_same_everywhere():
    small, large = ask({"compute_percent": 30}, cards=["L20", "H100"])
    assert small.packing[0].shares[0].compute_percent == large.packing[0].shares[0].compute_percent == 30


def test_a_rate_becomes_a_share():
    (answer,) = ask({"tflops": 59.75}, cards=["L20"])
    assert answer.packing[0].shares[0].compute_percent == 50


def test_what_is_bound_by_bandwidth_goes_by_bandwidth():
    (answer,) = ask({"compute_percent": 20, "measured_on": "L20", "bound_by": "bandwidth"}, cards=["H100"])
    assert answer.packing[0].shares[0].compute_percent == 6  # 20 x 864 / 3350 = 5.2


def test_fixed_shapes_round_up_and_what_is_too_large_for_them_takes_a_card():
    (answer,) = ask({"compute_percent": 10}, {"compute_percent": 60}, cards=["910B3"])
    assert answer.sliced_cards == 2
    shares = {share.service: share for card in answer.packing for share in card.shares}
    assert (shares["s0"].profile, shares["s0"].memory_bytes) == ("vir05_1c_16g", 16 * GIB)
    assert "became 25 %" in (shares["s0"].rounding or "")
    assert shares["s1"].whole
    assert any("a whole card each" in note for note in answer.notes)


def test_a_card_that_cannot_be_cut_holds_one_replica():
    (answer,) = ask({"compute_percent": 10, "replicas": 3}, cards=["MI300X"])
    assert (answer.sliced_cards, answer.whole_cards, answer.mechanism) == (3, 3, None)
    assert "no way to cut" in answer.notes[0]


def test_whole_and_apart():
    (answer,) = ask({"whole": True}, {"compute_percent": 1, "replicas": 2, "spread": True}, cards=["L20"])
    assert answer.sliced_cards == 3
    assert sum(share.whole for card in answer.packing for share in card.shares) == 1


def test_memory_is_kept_back():
    fits, too_large = ask({"compute_percent": 1, "memory": "23.5GiB"}, cards=["L20", "4090D"], reserve="1GiB")
    assert fits.sliced_cards == 1
    assert (too_large.fits, too_large.sliced_cards) == (False, None)
    assert "needs 23.5 GiB; a 4090D has 23 GiB" in too_large.reason
    assert ask({"compute_percent": 1, "memory": "23.5GiB"}, cards=["4090D"], reserve="0")[0].fits


def test_more_than_one_card_of_compute_and_an_unknown_rate():
    slow, unknown = ask({"compute_percent": 50, "measured_on": "H100"}, cards=["L20", "L4"])
    assert "needs 414 % of the compute of a L20" in slow.reason
    assert "knows no 16-bit rate of L4" in unknown.reason


def test_a_limit_that_is_not_kept():
    answer = advise(
        AdviceRequest.model_validate(
            {
                "services": [{"name": "a", "compute_percent": 60, "memory": "1GiB", "replicas": 3}],
                "cards": [{"name": "L20", "at_most": 2}],
            }
        )
    )
    assert not answer.cards[0].fits
    assert answer.cards[0].reason == "3 whole or 3 sliced, and there may be 2"
    assert answer.best is None


@pytest.mark.parametrize(
    ("service", "cards", "said"),
    [
        ({"compute_percent": 5}, ["L21"], "no 'L21'; the closest: L20"),
        ({"compute_percent": 5, "measured_on": "Z80"}, ["L20"], "has no 'Z80'"),
        ({"compute_percent": 5, "measured_on": "T4"}, ["L20"], "knows no 16-bit rate of T4"),
    ],
)
def test_unknown_cards_are_explained(service: dict[str, Any], cards: list[str], said: str):
    with pytest.raises(InvalidError, match=said):
        ask(service, cards=cards)


@pytest.mark.parametrize(
    "service",
    [
        {},
        {"compute_percent": 5, "tflops": 3},
        {"tflops": 3, "measured_on": "L20"},
        {"compute_percent": 0},
        {"compute_percent": 101},
        {"compute_percent": 5, "memory": "much"},
        {"compute_percent": 5, "memory": 0},
        {"compute_percent": 5, "replicas": 501},
        {"compute_percent": 5, "color": "red"},
        {"compute_percent": 5, "bound_by": "hope"},
    ],
)
def test_bad_services_are_refused(service: dict[str, Any]):
    with pytest.raises(ValidationError):
        ask(service, cards=["L20"])


def test_bad_questions_are_refused():
    one = {"name": "a", "compute_percent": 5, "memory": 1}
    for wrong in (
        {"services": [], "cards": ["L20"]},
        {"services": [one], "cards": []},
        {"services": [one, one], "cards": ["L20"]},
        {"services": [{**one, "replicas": 300}, {**one, "name": "b", "replicas": 300}], "cards": ["L20"]},
    ):
        with pytest.raises(ValidationError):
            AdviceRequest.model_validate(wrong)


def test_a_card_whose_name_yaml_reads_as_a_number():
    one = {"name": "a", "compute_percent": 5, "memory": 1, "measured_on": 4090}
    request = AdviceRequest.model_validate({"services": [one], "cards": [4090, {"name": 4090, "at_most": 1}]})
    assert [card.card for card in advise(request).cards] == ["4090", "4090"]


services = st.lists(
    st.fixed_dictionaries(
        {
            "compute_percent": st.integers(1, 100),
            "memory": st.integers(1, 12 * GIB),
            "replicas": st.integers(1, 4),
            "spread": st.booleans(),
            "whole": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(services, st.sampled_from([card.name for card in accelerator_catalog()]))
def test_no_card_is_overcommitted_and_slices_never_need_more_cards(drawn: list[dict[str, Any]], name: str):
    (answer,) = ask(*drawn, cards=[name])
    assert answer.whole_cards is not None
    assert answer.sliced_cards is not None
    assert answer.least_cards is not None
    assert answer.least_cards <= answer.sliced_cards == len(answer.packing) <= answer.whole_cards
    assert all(card.compute_free_percent >= 0 and card.memory_free_bytes >= 0 for card in answer.packing)
    assert sum(len(card.shares) for card in answer.packing) == answer.whole_cards
