"""Heads of GGUF files."""

from __future__ import annotations

import io
import struct
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.model_files import gguf_bytes, gguf_string

from aicp.artifacts.formats.gguf import GgufHead, read_head
from aicp.core.errors import InvalidError


def read(content: bytes) -> GgufHead:
    return read_head(io.BytesIO(content), len(content))


FIELDS = {"general.architecture": "qwen3", "qwen3.block_count": 2, "tokenizer.ggml.tokens": ["a", "b"]}
TENSORS = {"token_embd.weight": (0, (8, 16), 512), "blk.0.attn_q.weight": (8, (32, 2), 68)}


@pytest.mark.parametrize("version", [2, 3])
def test_what_is_written_is_read(version: int) -> None:
    head = read(gguf_bytes(FIELDS, TENSORS, version=version))
    assert head.fields["qwen3.block_count"] == 2
    assert head.fields["tokenizer.ggml.tokens"] == {"items": 2}
    assert [(tensor.name, tensor.type, tensor.size_bytes) for tensor in head.tensors] == [
        ("token_embd.weight", "F32", 512),
        ("blk.0.attn_q.weight", "Q8_0", 68),
    ]


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(content: bytes) -> None:
    with pytest.raises(InvalidError):
        read(b"GGUF\x03\x00\x00\x00" + content + b"\xff")


@given(st.integers(0, 299), st.binary(min_size=1, max_size=8))
def test_any_damage_is_refused_in_words_or_harmless(position: int, damage: bytes) -> None:
    content = bytearray(gguf_bytes(FIELDS, TENSORS))
    content[position : position + len(damage)] = damage
    with suppress(InvalidError):
        read(bytes(content))


@given(st.integers(0, 400))
def test_every_cut_is_refused(length: int) -> None:
    with pytest.raises(InvalidError):
        read(gguf_bytes(FIELDS, TENSORS)[:length])


def head(tensors: int = 0, keys: int = 0, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04" + bytes(40), "start with GGUF"),
        (head(version=1), "version is 1"),
        (head(version=3 << 24), "version is"),
        (head(tensors=2**63), "claims"),
        (head(keys=2**63), "claims"),
        (head(keys=1, rest=struct.pack("<Q", 2**62)), "text of"),
        (head(keys=1, rest=gguf_string("k") + struct.pack("<IIQ", 9, 4, 2**62)), "longer than the file"),
        (head(keys=1, rest=gguf_string("k") + struct.pack("<IIQ", 9, 8, 2**62)), "more than"),
        (head(keys=1, rest=gguf_string("k") + struct.pack("<IIQ", 9, 9, 1)), "arrays"),
        (head(keys=1, rest=gguf_string("k") + struct.pack("<I", 99)), "unknown type"),
        (head(keys=1, rest=struct.pack("<Q", 1) + b"\xff"), "UTF-8"),
        (head(keys=2, rest=(gguf_string("k") + struct.pack("<IB", 0, 1)) * 2), "twice"),
        (head(tensors=1, rest=gguf_string("t") + struct.pack("<I", 5)), "dimensions"),
        (head(tensors=1, rest=gguf_string("t") + struct.pack("<IQIQ", 1, 4, 77, 0)), "unknown type"),
        (head(tensors=1, rest=gguf_string("t") + struct.pack("<IQIQ", 1, 33, 8, 0)), "blocks"),
        (head(tensors=1, rest=gguf_string("t") + struct.pack("<IQIQ", 1, 2**60, 0, 0)), "beyond the file"),
        (head(tensors=1, rest=gguf_string("t" * 65)), "text of 65"),
        (
            head(tensors=2, rest=(gguf_string("t") + struct.pack("<IQIQ", 1, 0, 0, 0)) * 2 + bytes(60)),
            "twice",
        ),
        (
            head(
                tensors=2,
                rest=gguf_string("a")
                + struct.pack("<IQIQ", 1, 16, 0, 0)
                + gguf_string("b")
                + struct.pack("<IQIQ", 1, 16, 0, 32)
                + bytes(400),
            ),
            "overlaps",
        ),
        (head(keys=1, rest=gguf_string("general.alignment") + struct.pack("<II", 4, 0)), "alignment"),
    ],
)
def test_wrong_heads_are_refused(content: bytes, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        read(content)


def test_vocabulary_of_real_size_is_read_quickly() -> None:
    tokens = [f"token{number}" for number in range(150_000)]
    content = gguf_bytes({"general.architecture": "qwen3", "tokenizer.ggml.tokens": tokens}, {})
    start = time.monotonic()
    assert read(content).fields["tokenizer.ggml.tokens"] == {"items": 150_000}
    assert time.monotonic() - start < 5
