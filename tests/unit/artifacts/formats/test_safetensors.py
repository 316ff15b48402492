"""Headers of safetensors files."""

from __future__ import annotations

import io
import json
import struct
import time
from contextlib import suppress
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.model_files import safetensors_bytes, safetensors_of_header

from aicp.artifacts.formats.safetensors import MAX_HEADER_BYTES, Tensor, read_tensors
from aicp.core.errors import InvalidError

BYTES = {"F32": 4, "BF16": 2, "I64": 8, "U8": 1, "F8_E4M3": 1}


def read(content: bytes) -> list[Tensor]:
    return read_tensors(io.BytesIO(content), len(content))


def entry(dtype: str = "U8", shape: tuple[int, ...] = (4,), begin: int = 0, end: int = 4) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(BYTES)), st.lists(st.integers(0, 5), max_size=4)),
        max_size=8,
    )
)
def test_what_is_written_is_read(tensors: dict[str, tuple[str, list[int]]]) -> None:
    sized = {name: (dtype, shape, prod(shape) * BYTES[dtype]) for name, (dtype, shape) in tensors.items()}
    found = {
        tensor.name: (tensor.dtype, list(tensor.shape), tensor.size_bytes) for tensor in read(safetensors_bytes(sized))
    }
    assert found == sized


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words_or_read(content: bytes) -> None:
    with suppress(InvalidError):
        read(content)


@given(st.binary(max_size=200))
def test_any_header_is_refused_in_words_or_read(header: bytes) -> None:
    with suppress(InvalidError):
        read(safetensors_of_header(header))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), json_values | st.just(entry()), max_size=3))
def test_any_json_header_is_refused_in_words_or_read(header: dict[str, object]) -> None:
    with suppress(InvalidError):
        read(safetensors_of_header(json.dumps(header).encode(), bytes(4)))


@pytest.mark.parametrize(
    ("tensors", "size", "words"),
    [
        ({"a": entry(), "b": entry(begin=2, end=6)}, 6, "overlaps"),
        ({"a": entry(), "b": entry(begin=5, end=9)}, 9, "hole"),
        ({"a": entry(begin=1, end=5)}, 5, "hole"),
        ({"a": entry(shape=(8,), end=8)}, 4, "beyond the file"),
        ({"a": entry(shape=(3,))}, 4, "does not take"),
        ({"a": entry(dtype="BF16")}, 4, "does not take"),
        ({"a": entry(shape=(2**62, 2**62))}, 4, "does not take"),
        ({"a": entry(dtype="PICKLE")}, 4, "unknown type"),
        ({"a": entry(begin=4, end=0)}, 4, "hole"),
        ({"a": entry(shape=(-4,))}, 4, "malformed"),
        ({"a": entry(begin=-4, end=0)}, 4, "overlaps"),
        ({"a": entry()}, 6, "belong to no tensor"),
        ({"a": {**entry(), "extra": 1}}, 4, "malformed"),
        ({"a": entry(), "__metadata__": {"x": 1}}, 4, "malformed"),
        ({"a": entry(shape=(1,) * 65)}, 4, "malformed"),
    ],
)
def test_wrong_layouts_are_refused(tensors: dict[str, object], size: int, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        read(safetensors_of_header(json.dumps(tensors).encode(), bytes(size)))


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"dtype":"U8"}}',
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}',
    ],
)
def test_duplicate_keys_are_refused(header: bytes) -> None:
    with pytest.raises(InvalidError, match="twice"):
        read(safetensors_of_header(header, bytes(4)))


@pytest.mark.parametrize("length", [MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_huge_header_is_refused_before_it_is_read(length: int) -> None:
    with pytest.raises(InvalidError, match="header claims"):
        read(struct.pack("<Q", length))


def test_header_longer_than_the_file_is_refused() -> None:
    with pytest.raises(InvalidError, match="longer than the file"):
        read(struct.pack("<Q", 1000) + b"{}")


@pytest.mark.parametrize("header", [b"[" * 2_000_000, b'{"a":' * 400_000, b'{"a":[' + b"0," * 1_000_000 + b"0]}"])
def test_hostile_headers_are_refused_quickly(header: bytes) -> None:
    start = time.monotonic()
    with pytest.raises(InvalidError):
        read(safetensors_of_header(header))
    assert time.monotonic() - start < 5
