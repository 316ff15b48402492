"""The head of a GGUF file, checked as its specification demands (ggml-org/ggml: docs/gguf.md), versions 2 and 3."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from aicp.core.errors import InvalidError

_MAX_TENSORS = 1_000_000
_MAX_KEYS = 65_536
_MAX_KEY_BYTES = 65_535
_MAX_NAME_BYTES = 64
_MAX_STRING_BYTES = 16 * 2**20
_MAX_STRINGS = 5_000_000
"""Strings in all arrays together; vocabularies have some hundred thousand."""
_MAX_HEAD_BYTES = 1 * 2**30
_KEPT_ITEMS = 1024
"""Arrays up to this length are kept (per-layer numbers); of longer ones only the length."""
_KEPT_STRING = 4096
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

# Type id -> (name, elements in a block, bytes of a block); sizes as in ggml's type traits.
TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}  # fmt: skip
# general.file_type -> the name that people know the mixture by (llama.h, enum llama_ftype).
FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS",
    20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M",
    28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor: ggml type name, dimensions, place and size in the data section."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHead:
    """Everything before the data. Long arrays and strings in `fields` are replaced by their length."""

    fields: dict[str, Any]
    tensors: list[GgufTensor]


def read_head(file: BinaryIO, size_bytes: int) -> GgufHead:
    """The head of an open file of `size_bytes`. Raises InvalidError when anything about it is wrong."""
    reader = _Reader(file, min(size_bytes, _MAX_HEAD_BYTES))
    if reader.take(4) != b"GGUF":
        raise broken("it does not start with GGUF")
    version = reader.number("<I")
    if version not in (2, 3):
        raise broken(f"its format version is {version}; 2 and 3 are known (little-endian)")
    tensor_count, key_count = reader.number("<Q"), reader.number("<Q")
    if tensor_count > _MAX_TENSORS or key_count > _MAX_KEYS:
        raise broken(f"it claims {tensor_count:,} tensors and {key_count:,} keys")
    fields: dict[str, Any] = {}
    for _ in range(key_count):
        key = reader.string(_MAX_KEY_BYTES)
        if key in fields:
            raise broken(f"the key {key!r} occurs twice")
        fields[key] = reader.value(reader.number("<I"))
    tensors = [_tensor(reader) for _ in range(tensor_count)]
    _check_layout(tensors, fields, reader.position, size_bytes)
    return GgufHead(fields, tensors)


def _tensor(reader: _Reader) -> GgufTensor:
    name = reader.string(_MAX_NAME_BYTES)
    dimensions = reader.number("<I")
    if dimensions > 4:
        raise broken(f"tensor {name!r} has {dimensions} dimensions; at most 4 are allowed")
    shape = tuple(reader.number("<Q") for _ in range(dimensions))
    kind = TYPES.get(reader.number("<I"))
    offset = reader.number("<Q")
    if kind is None:
        raise broken(f"tensor {name!r} has an unknown type")
    type_name, block, block_bytes = kind
    if shape and shape[0] % block:
        raise broken(f"tensor {name!r}: rows of {shape[0]} do not divide into blocks of {block} ({type_name})")
    return GgufTensor(name, type_name, shape, offset, prod(shape) // block * block_bytes)


def _check_layout(tensors: list[GgufTensor], fields: dict[str, Any], head_bytes: int, size_bytes: int) -> None:
    alignment = fields.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 2**16 or alignment % 8:
        raise broken(f"its alignment is {alignment!r}")
    data_bytes = size_bytes - (head_bytes + alignment - 1) // alignment * alignment
    end = 0
    names: set[str] = set()
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size_bytes)):
        if tensor.name in names:
            raise broken(f"tensor {tensor.name!r} occurs twice")
        names.add(tensor.name)
        if tensor.offset % alignment or tensor.offset < end:
            raise broken(f"tensor {tensor.name!r} is misaligned or overlaps the one before")
        end = tensor.offset + tensor.size_bytes
        if end > data_bytes:
            raise broken(f"tensor {tensor.name!r} ends beyond the file")


class _Reader:
    """Takes values from the head, never more than the file or the limit of heads holds."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._limit = limit_bytes
        self._strings = 0
        self.position = 0

    def take(self, count: int) -> bytes:
        self._claim(count)
        data = self._file.read(count)
        if len(data) < count:
            raise broken("it is cut off inside its head")
        return data

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def string(self, limit: int = _MAX_STRING_BYTES) -> str:
        length = self.number("<Q")
        if length > limit:
            raise broken(f"a text of {length:,} bytes; at most {limit:,} are allowed here")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise broken("a text is not valid UTF-8") from None

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            text = self.string()
            return text if len(text) <= _KEPT_STRING else {"characters": len(text)}
        if kind == _ARRAY:
            return self._array(self.number("<I"), self.number("<Q"))
        raise broken(f"a value has the unknown type {kind}")

    def _array(self, kind: int, length: int) -> Any:
        if kind in _SCALARS:
            width = struct.calcsize(_SCALARS[kind])
            if length <= _KEPT_ITEMS:
                return [self.number(_SCALARS[kind]) for _ in range(length)]
            self._skip(length * width)
        elif kind == _STRING:
            self._strings += length
            if self._strings > _MAX_STRINGS:
                raise broken(f"it holds more than {_MAX_STRINGS:,} texts")
            for _ in range(length):
                self._skip(self.number("<Q"))
        else:
            raise broken("an array holds arrays or an unknown type")
        return {"items": length}

    def _skip(self, count: int) -> None:
        self._claim(count)
        self._file.seek(count, 1)

    def _claim(self, count: int) -> None:
        self.position += count
        if self.position > self._limit:
            raise broken("its head is longer than the file or the limit")


def broken(what: str) -> InvalidError:
    """The error for a damaged file."""
    return InvalidError(
        f"The GGUF file is broken: {what[:500]}.", hint="Export or download the file again.", code="broken_gguf"
    )
