"""The header of a safetensors file, checked as its specification demands (github.com/huggingface/safetensors)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, BinaryIO

import msgspec

from aicp.core.errors import InvalidError

MAX_HEADER_BYTES = 100 * 2**20
_DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=64)]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: element type as the file writes it (BF16, ...), shape, size on disk."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def read_tensors(file: BinaryIO, size_bytes: int) -> list[Tensor]:
    """The tensors of an open file of `size_bytes`. Raises InvalidError when anything about the header is wrong."""
    prefix = file.read(8)
    if len(prefix) < 8:
        raise _broken("it is shorter than its own length field")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER_BYTES:
        raise _broken(f"its header claims {length:,} bytes; at most {MAX_HEADER_BYTES:,} are allowed")
    if length > size_bytes - 8:
        raise _broken("its header is longer than the file")
    raw = file.read(length)
    if len(raw) < length or not raw.startswith(b"{"):
        raise _broken("its header is cut off or no JSON object")
    entries = _decode(raw)
    return _check_layout(entries, size_bytes - 8 - length)


def _decode(raw: bytes) -> dict[str, _Entry]:
    # The typed pass bounds memory by refusing any other shape; only then may the untyped one look for duplicates.
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        metadata = fields.pop("__metadata__", None)
        if metadata is not None:
            msgspec.json.decode(metadata, type=dict[str, str])
        entries = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in fields.items()}
        json.loads(raw, object_pairs_hook=_refuse_duplicates)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise _broken(f"its header is malformed ({error})") from error
    return entries


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a key occurs twice")


def _check_layout(entries: dict[str, _Entry], data_bytes: int) -> list[Tensor]:
    end = 0
    tensors: list[Tensor] = []
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, stop = entry.data_offsets
        bits = _DTYPE_BITS.get(entry.dtype)
        if bits is None:
            raise _broken(f"tensor {name!r} has the unknown type {entry.dtype!r}")
        if begin != end:
            problem = "overlaps the one before" if begin < end else "leaves a hole before it"
            raise _broken(f"tensor {name!r} {problem}")
        if stop < begin or stop > data_bytes:
            raise _broken(f"tensor {name!r} ends beyond the file")
        if prod(entry.shape) * bits != (stop - begin) * 8:
            raise _broken(f"tensor {name!r} of {entry.dtype} {entry.shape} does not take {stop - begin:,} bytes")
        tensors.append(Tensor(name, entry.dtype, tuple(entry.shape), stop - begin))
        end = stop
    if end != data_bytes:
        raise _broken(f"{data_bytes - end:,} bytes at its end belong to no tensor")
    return tensors


def _broken(what: str) -> InvalidError:
    return InvalidError(
        f"The safetensors file is broken: {what[:500]}.",
        hint="Export or download the file again.",
        code="broken_safetensors",
    )
