"""Beginnings of prompts, told by bytes alone, and which of them a replica is likely to have in its KV cache.

A prompt is cut into blocks; block k is numbered by `hash((number of block k - 1, its bytes))`, so its number stands for
everything before it too (the chain of Mooncake's index, https://arxiv.org/abs/2407.00079). Python's own `hash` is
SipHash with a key of this process: as fast here as xxh3, and nobody outside can make two beginnings collide.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

_FIRST_BYTES = 256
_SHARE = 32
_MOST_BYTES = 1 << 20


def _ends() -> list[int]:
    ends = [0]
    size = _FIRST_BYTES
    while ends[-1] < _MOST_BYTES:
        size *= 2 if ends[-1] >= 2 * _SHARE * size else 1
        ends.append(ends[-1] + size)
    return ends


ENDS = _ends()
"""ENDS[n] is how many bytes n blocks are: 256 each at first, later at most a 32nd of what is before them, so that a
megabyte has few hundred. What comes after the first megabyte has no block."""
_BLOCKS = [slice(start, end) for start, end in pairwise(ENDS)]


def chain(start: int, data: bytes) -> list[int]:
    """The numbers of the whole blocks of `data`; `start` keeps apart what must not be shared."""
    number = start
    blocks = _BLOCKS[: bisect_right(ENDS, len(data)) - 1]
    return [number := hash((number, data[block])) for block in blocks]


class Held:
    """The blocks that a replica was sent last: from three quarters to one and a half of `tokens` tokens.

    Two generations: a full younger one becomes the older one, whose blocks are forgotten at once, without a walk. That
    finds as many hits as exact least-recently-used order does.
    What is used again is young again. A chain is always added whole, so whoever holds a block holds all before it.
    """

    __slots__ = ("_full", "_old", "_tokens", "_young")

    def __init__(self, tokens: float) -> None:
        self._full = tokens * 3 / 4
        self._tokens = 0.0
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __len__(self) -> int:
        return len(self._young | self._old)

    def depth(self, blocks: Sequence[int]) -> int:
        """How many of the first blocks are held."""
        if not blocks:
            return 0
        first, known = blocks[0], 0
        if first in self._young:
            known = _depth(self._young, blocks)
        if first in self._old and known < len(blocks):
            known = max(known, _depth(self._old, blocks))
        return known

    def add(self, blocks: Sequence[int], tokens_per_byte: float) -> None:
        """The replica is sent a prompt of these blocks."""
        known, every = _depth(self._young, blocks), len(blocks)
        if known == every:
            return
        self._young.update(blocks[known:])
        self._tokens += (ENDS[every] - ENDS[known]) * tokens_per_byte
        if self._tokens >= self._full:
            self._old, self._young, self._tokens = self._young, set(), 0.0


def _depth(generation: set[int], blocks: Sequence[int]) -> int:
    """Found by halving: a generation that has a block has all before it."""
    if not blocks or blocks[0] not in generation:
        return 0
    low, high = 1, len(blocks)
    while low < high:
        middle = (low + high) >> 1
        if blocks[middle] in generation:
            low = middle + 1
        else:
            high = middle
    return low
