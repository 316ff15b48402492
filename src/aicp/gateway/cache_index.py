"""The vectors of questions of one space, and which of them are near to another one: an index of the library usearch.

The library and what it needs are loaded when the first rule asks for likeness, and never in a gateway without one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from importlib import import_module
from math import sqrt
from typing import Any

_libraries: list[Any] = []


def load() -> None:
    """Loads the library, which takes a moment; to be called in a thread. Raises ImportError."""
    if not _libraries:
        _libraries.extend((import_module("usearch.index"), import_module("numpy")))


def is_loaded() -> bool:
    """Whether indexes can be made."""
    return bool(_libraries)


def packed(vector: Sequence[float]) -> bytes:
    """A vector of length 1 as half floats; empty for one that has no direction or is none."""
    length = sqrt(sum(value * value for value in vector))
    if not 0.0 < length < float("inf"):
        return b""
    return struct.pack(f"<{len(vector)}e", *(value / length for value in vector))


def likeness(one: bytes, other: bytes) -> float:
    """The cosine of the angle between two packed vectors; 0 where they are of different models."""
    if len(one) != len(other) or not one:
        return 0.0
    form = f"<{len(one) // 2}e"
    return sum(a * b for a, b in zip(struct.unpack(form, one), struct.unpack(form, other), strict=True))


class Neighbours:
    """An index of packed vectors of one length, by number. `load` must have been called."""

    def __init__(self, size: int) -> None:
        index, self._numpy = _libraries
        self.size = size
        """Bytes of a vector."""
        self._index = index.Index(ndim=size // 2, metric="cos", dtype="f16")

    def __len__(self) -> int:
        return len(self._index)

    def add(self, number: int, vector: bytes) -> None:
        """Adds a vector that is not in it."""
        self._index.add(number, self._array(vector))

    def remove(self, number: int) -> None:
        """Takes one away."""
        self._index.remove(number)

    def nearest(self, vector: bytes, count: int) -> list[tuple[int, float]]:
        """The nearest vectors' numbers and their likeness, the best first."""
        if len(vector) != self.size or not len(self._index):
            return []
        found = self._index.search(self._array(vector), count)
        return [(int(number), 1.0 - float(far)) for number, far in zip(found.keys, found.distances, strict=True)]

    def _array(self, vector: bytes) -> Any:
        return self._numpy.frombuffer(vector, dtype="<f2")
