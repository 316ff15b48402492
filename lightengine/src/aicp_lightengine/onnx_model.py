"""Writes ONNX models: a graph of nodes, encoded as the protocol buffer that ONNX Runtime loads.

Only what is needed here, by the field numbers of the format's public definition (onnx.proto, ONNX IR version 10).
Writing it by hand spares the engine the `onnx` package: a third of a second and 30 MB at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_IR_VERSION = 10
_OPSET = 20
_MICROSOFT = "com.microsoft"
_MICROSOFT_OPSET = 1
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_FLOAT, _INT, _STRING = 1, 2, 3

Attribute = int | float | str


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field_number: int, value: int) -> bytes:
    return _varint(field_number << 3 | _VARINT) + _varint(value)


def _bytes(field_number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field_number << 3 | _BYTES) + _varint(len(data)) + data


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        content = _number(3, value) + _number(20, _INT)
    elif isinstance(value, float):
        content = _varint(2 << 3 | _FIXED32) + np.float32(value).tobytes() + _number(20, _FLOAT)
    else:
        content = _bytes(4, value) + _number(20, _STRING)
    return _bytes(1, name) + content


def _external_tensor(name: str, array: np.ndarray) -> bytes:
    """A tensor whose values are handed to the session beside the model; the location is never opened."""
    dims = b"".join(_number(1, size) for size in array.shape)
    place = _bytes(13, _bytes(1, "location") + _bytes(2, "given-beside-the-model"))
    return dims + _number(2, _TYPES[str(array.dtype)]) + _bytes(8, name) + place + _number(14, 1)


def _inline_tensor(name: str, array: np.ndarray) -> bytes:
    dims = b"".join(_number(1, size) for size in array.shape)
    return dims + _number(2, _TYPES[str(array.dtype)]) + _bytes(8, name) + _bytes(9, array.tobytes())


def _value(name: str, dtype: str, dims: Sequence[str]) -> bytes:
    shape = b"".join(_bytes(1, _bytes(2, dim)) for dim in dims)
    tensor = _number(1, _TYPES[dtype]) + _bytes(2, shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


@dataclass
class Graph:
    """A graph under construction: each method adds to it and answers the name of what comes out.

    `weights` are the large tensors, given to the session by name beside the encoded model; they are never copied here.
    """

    weights: dict[str, np.ndarray] = field(default_factory=dict)
    _nodes: list[bytes] = field(default_factory=list)
    _constants: dict[str, np.ndarray] = field(default_factory=dict)
    _inputs: list[bytes] = field(default_factory=list)
    _outputs: list[bytes] = field(default_factory=list)

    def input(self, name: str, dtype: str, *dims: str) -> str:
        """An input of the model with named dimensions."""
        self._inputs.append(_value(name, dtype, dims))
        return name

    def output(self, name: str, result: str, *dims: str) -> None:
        """Names `result`, a tensor of 32-bit floats, as an output."""
        self._nodes.append(_bytes(1, result) + _bytes(2, name) + _bytes(4, "Identity"))
        self._outputs.append(_value(name, "float32", dims))

    def weight(self, name: str, array: np.ndarray) -> str:
        """A tensor that is given to the session beside the model."""
        self.weights[name] = array
        return name

    def constant(self, array: np.ndarray) -> str:
        """A small tensor inside the model."""
        name = f"constant_{len(self._constants)}"
        self._constants[name] = array
        return name

    def node(self, kind: str, *inputs: str, microsoft: bool = False, **attributes: Attribute) -> str:
        """One operation with one result; an input left empty is one not given."""
        result = f"{kind}_{len(self._nodes)}"
        parts = [_bytes(1, name) for name in inputs] + [_bytes(2, result), _bytes(3, result), _bytes(4, kind)]
        parts += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        if microsoft:
            parts.append(_bytes(7, _MICROSOFT))
        self._nodes.append(b"".join(parts))
        return result

    def encode(self) -> bytes:
        """The model as ONNX Runtime loads it."""
        graph = [_bytes(1, node) for node in self._nodes] + [_bytes(2, "light")]
        graph += [_bytes(5, _inline_tensor(name, array)) for name, array in self._constants.items()]
        graph += [_bytes(5, _external_tensor(name, array)) for name, array in self.weights.items()]
        graph += [_bytes(11, value) for value in self._inputs] + [_bytes(12, value) for value in self._outputs]
        opsets = _bytes(8, _bytes(1, "") + _number(2, _OPSET))
        opsets += _bytes(8, _bytes(1, _MICROSOFT) + _number(2, _MICROSOFT_OPSET))
        return _number(1, _IR_VERSION) + _bytes(2, "aicp-lightengine") + opsets + _bytes(7, b"".join(graph))
