"""Beginnings of prompts, told by bytes alone, and which of them a replica is likely to have in its KV cache.

A prompt is cut into blocks; block k is numbered by `hash((number of block k - 1, its bytes))`, so its number stands for
everything before it too (the chain of Mooncake's index, https://arxiv.org/abs/2407.00079). Python's own `hash` is
SipHash with a key of this process: as fast here as xxh3, and nobody outside can make two beginnings collide.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence

FIRST_BYTES = 256
_SHARE = 32
_MOST_BYTES = 1 << 20
_BELIEVED = 0.95
"""Of a cache so much is taken to hold prompts: answers take the rest, and a wrong hope costs more than a missed hit."""


def _ends() -> list[int]:
    ends = [0]
    size = FIRST_BYTES
    while ends[-1] < _MOST_BYTES:
        size *= 2 if ends[-1] >= 2 * _SHARE * size else 1
        ends.append(ends[-1] + size)
    return ends


ENDS = _ends()
"""ENDS[n] is how many bytes n blocks are: 256 each at first, later at most a 32nd of what is before them, so that a
megabyte has few hundred. What comes after the first megabyte has no block."""


def chain(start: int, data: bytes) -> list[int]:
    """The numbers of the whole blocks of `data`; `start` keeps apart what must not be shared."""
    number, begin = start, 0
    numbers: list[int] = []
    for end in ENDS[1 : bisect_right(ENDS, len(data))]:
        number = hash((number, data[begin:end]))
        numbers.append(number)
        begin = end
    return numbers


class Held:
    """The blocks that a replica was sent last, up to about `tokens` tokens: what its own cache holds if it is an LRU.

    A chain is used as a whole and forgotten from its end, so whoever holds a block holds all before it.
    """

    __slots__ = ("_blocks", "_first_most", "_most", "_tokens")

    def __init__(self, tokens: float) -> None:
        self._most = self._first_most = tokens * _BELIEVED
        self._tokens = 0.0
        self._blocks: OrderedDict[int, float] = OrderedDict()
        """Tokens by block, those used last at the end."""

    def __len__(self) -> int:
        return len(self._blocks)

    def depth(self, blocks: Sequence[int]) -> int:
        """How many of the first blocks are held; found by halving."""
        held = self._blocks
        if not blocks or blocks[0] not in held:
            return 0
        low, high = 1, len(blocks)
        while low < high:
            middle = (low + high) // 2
            if blocks[middle] in held:
                low = middle + 1
            else:
                high = middle
        return low

    def add(self, blocks: Sequence[int], tokens_per_byte: float) -> None:
        """The replica is sent a prompt of these blocks."""
        held = self._blocks
        known = self.depth(blocks)
        for number in range(len(blocks) - 1, known - 1, -1):
            tokens = (ENDS[number + 1] - ENDS[number]) * tokens_per_byte
            held[blocks[number]] = tokens
            self._tokens += tokens
        for block in reversed(blocks[:known]):
            held.move_to_end(block)
        self._shrink()

    def drop(self, block: int) -> None:
        """The replica has told that this block is gone."""
        self._tokens -= self._blocks.pop(block, 0.0)

    def clear(self) -> None:
        """Nothing is held any more."""
        self._blocks.clear()
        self._tokens = 0.0

    def bound(self, tokens: float | None) -> None:
        """Holds at most so many tokens from now on; None: as many as at first."""
        self._most = self._first_most if tokens is None else tokens
        self._shrink()

    def _shrink(self) -> None:
        held = self._blocks
        while self._tokens > self._most and held:
            self._tokens -= held.popitem(last=False)[1]
