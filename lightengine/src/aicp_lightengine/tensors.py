"""Reads safetensors files as arrays of 32-bit floats, without a copy where they are kept so.

The format (huggingface/safetensors, README): eight bytes little-endian length of a JSON header, the header, the data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from aicp_lightengine.errors import ModelError

_MAXIMUM_HEADER_BYTES = 100 * 2**20
_KINDS = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Every floating-point tensor of the folder's safetensors files, by name. Raises ModelError for a broken file."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise ModelError(f"{folder.name} holds no .safetensors file.")
    found: dict[str, np.ndarray] = {}
    for path in paths:
        found |= _read(path)
    return found


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        data = np.memmap(path, np.uint8, "r")
        length = int.from_bytes(data[:8].tobytes(), "little")
        if length > min(_MAXIMUM_HEADER_BYTES, len(data) - 8):
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8 : 8 + length].tobytes())
        values = data[8 + length :]
        return {
            name: _array(values, entry)
            for name, entry in header.items()
            if name != "__metadata__" and entry["dtype"] in _KINDS
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path.name} is not a valid safetensors file ({error}).") from error


def _array(values: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    begin, end = entry["data_offsets"]
    kind, shape = str(entry["dtype"]), tuple(entry["shape"])
    raw = values[begin:end].view(_KINDS[kind]).reshape(shape)
    if kind == "BF16":
        # the upper half of a 32-bit float
        return (raw.astype(np.uint32) << 16).view(np.float32)
    array = np.asarray(raw, dtype=np.float32)
    return array if array.flags.aligned else array.copy()
