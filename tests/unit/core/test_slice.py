"""Slices: units, rounding, and how people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.core.quantity import GIB, MIB
from aicp.core.slice import (
    MEMORY_UNIT_BYTES,
    SlicePolicy,
    SliceProfile,
    SliceRequest,
    SliceSpec,
    Slicing,
    choose_slicing,
    format_slice,
    parse_slice,
    size_slice,
)

UNITS = Slicing(mechanism="cgroup", policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT])
SHAPES = Slicing(
    mechanism="mig",
    profiles=[
        SliceProfile(name="3g.71gb", compute_percent=42, memory_bytes=71 * GIB),
        SliceProfile(name="1g.18gb", compute_percent=14, memory_bytes=18 * GIB),
        SliceProfile(name="1g.35gb", compute_percent=14, memory_bytes=35 * GIB),
    ],
)


def ask(percent: int, memory: int, policy: SlicePolicy = SlicePolicy.CAP) -> SliceRequest:
    return SliceRequest(compute_percent=percent, memory_bytes=memory, policy=policy)


def test_whole_units_need_no_rounding():
    size = size_slice(ask(1, 256 * MIB), UNITS)
    assert size is not None
    assert (size.compute_percent, size.memory_bytes, size.rounding) == (1, 256 * MIB, None)


def test_what_is_rounded_is_told():
    size = size_slice(ask(30, 3 * GIB + 1), UNITS)
    assert size is not None
    assert size.memory_bytes == 3 * GIB + 256 * MIB
    assert size.rounding == "3 GiB of memory became 3.25 GiB"


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        (ask(10, 2 * GIB), "1g.18gb"),
        (ask(10, 20 * GIB), "1g.35gb"),
        (ask(20, 2 * GIB), "3g.71gb"),
        (ask(50, 2 * GIB), None),
        (ask(10, 80 * GIB), None),
    ],
    ids=["the smallest", "more memory", "more compute", "more compute than any", "more memory than any"],
)
def test_fixed_shapes(asked: SliceRequest, shape: str | None):
    size = size_slice(asked, SHAPES)
    assert (size.profile if size else None) == shape
    if size:
        assert f"(shape {shape})" in str(size.rounding)


def test_a_unit_that_is_no_whole_percent_rounds_up():
    """One of 60 compute units is 1.67 %."""
    size = size_slice(ask(1, 256 * MIB), Slicing(mechanism="vdcu", compute_unit_percent=100 / 60))
    assert size is not None
    assert size.compute_percent == 2


def test_a_policy_that_a_way_does_not_know_is_left_to_the_next():
    asked = ask(10, 2 * GIB, SlicePolicy.WEIGHT)
    assert size_slice(asked, SHAPES) is None
    size = choose_slicing(asked, [SHAPES, UNITS])
    assert size is not None
    assert size.mechanism == "cgroup"


@given(
    st.integers(1, 100),
    st.integers(1, 100 * GIB),
    st.sampled_from([1, 100 / 60, 6.25, 12.5]),
    st.sampled_from([1, 2, 4]),
)
def test_a_slice_is_never_smaller_than_asked(percent: int, memory: int, unit: float, pieces: int):
    way = Slicing(mechanism="x", compute_unit_percent=unit, memory_unit_bytes=pieces * MEMORY_UNIT_BYTES)
    size = size_slice(ask(percent, memory), way)
    assert size is not None
    assert percent <= size.compute_percent <= 100
    assert memory <= size.memory_bytes < memory + (pieces + 1) * MEMORY_UNIT_BYTES
    assert (size.rounding is None) == ((size.compute_percent, size.memory_bytes) == (percent, memory))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("30%", SliceSpec(compute_percent=30)),
        ("30%,2GiB", SliceSpec(compute_percent=30, memory_bytes=2 * GIB)),
        ("5 %, weight, 512MiB", SliceSpec(compute_percent=5, memory_bytes=512 * MIB, policy=SlicePolicy.WEIGHT)),
    ],
)
def test_written_slices(text: str, part: SliceSpec):
    assert parse_slice(text) == part
    assert parse_slice(format_slice(part)) == part


@pytest.mark.parametrize("text", ["", "30", "0%", "101%", "-1%", "30%,much", "30%,0", "x%", "30%,2GiB,fair"])
def test_what_is_no_slice_is_refused_in_words(text: str):
    with pytest.raises(ValueError, match=r"for example|leave the size out"):
        parse_slice(text)
