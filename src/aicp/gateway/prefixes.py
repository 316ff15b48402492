"""Beginnings of prompts, told by bytes alone, and which of them a replica is likely to have in its KV cache.

A prompt is cut into blocks; block k is numbered by `hash(its bytes, seed: the number of block k - 1)`, so its number
stands for everything before it too (the chain of Mooncake's index, https://arxiv.org/abs/2407.00079). XXH3 is no lock,
and needs to be none: the first seed is a secret of this process for each project, so nobody can make up beginnings that
collide with another project's, and who makes up such of its own misleads only the choice of a replica for them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from xxhash import xxh3_64_intdigest

Block = Hashable
"""The number of a block; not called a number, lest the compiled form takes it apart and makes a new one of it."""
FIRST_BYTES: Final = 256
_LISTED: Final = 1 << 12
_SHARE: Final = 8
_MOST_BYTES: Final = 1 << 20
_hash: Final[Callable[[bytes, Any], Block]] = xxh3_64_intdigest
_MASK: Final = (1 << 64) - 1
_BELIEVED: Final = 0.95
"""Of a cache so much is taken to hold prompts: answers take the rest, and a wrong hope costs more than a missed hit."""


def _ends() -> list[int]:
    ends = [0]
    size = FIRST_BYTES
    while ends[-1] < _MOST_BYTES:
        size *= 2 if ends[-1] >= 2 * _SHARE * size else 1
        ends.append(ends[-1] + size)
    return ends


ENDS: Final = _ends()
"""ENDS[n] is how many bytes n blocks are: 256 each at first, later at most an eighth of what is before them, so that a
megabyte has few hundred. What comes after the first megabyte has no block."""


def chain(start: int, data: bytes) -> list[Block]:
    """The numbers of the whole blocks of `data`; `start` keeps apart what must not be shared."""
    number: Block = start & _MASK
    begin = 0
    numbers: list[Block] = []
    for end in ENDS[1 : bisect_right(ENDS, len(data))]:
        number = _hash(data[begin:end], number)
        numbers.append(number)
        begin = end
    return numbers


class _Use:
    """A prompt that a replica was sent, from its block number `first` on.

    Of the first `left` of `blocks` it is not yet looked at whether they are to go.
    """

    __slots__ = ("blocks", "first", "left")

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks, self.first, self.left = blocks, 0, len(blocks)


class Held:
    """The blocks that a replica was sent last, up to about `tokens` tokens: what its own cache holds if it is an LRU.

    A chain is used as a whole and forgotten from its end, so whoever holds a block holds all before it. Every block
    knows its last use, and what is forgotten is looked for from the oldest use on: to use a block is to write one
    reference, wherever it stands in the order. All bytes that are held are taken for equally many tokens.
    """

    __slots__ = ("_blocks", "_bytes", "_first_most", "_listed", "_most", "_most_listed", "_tokens", "_told", "_uses")

    def __init__(self, tokens: float) -> None:
        self._most = self._first_most = tokens * _BELIEVED
        self._bytes = 0
        self._tokens = 0.0
        self._blocks: dict[Block, _Use] = {}
        self._uses: OrderedDict[_Use, None] = OrderedDict()
        """The oldest first. Some hold nothing any more: later ones have taken over everything."""
        self._listed, self._most_listed = 0, _LISTED
        """Blocks that uses list, and with how many they are looked through for those that hold something."""
        self._told = False
        """Whether the replica tells what it gives up: then blocks may be missing before others."""

    def __len__(self) -> int:
        return len(self._blocks)

    def depth(self, blocks: Sequence[Block], guess: int = 0) -> int:
        """How many of the first blocks are held; found by halving, unless it is what was guessed, all or nothing."""
        held, high = self._blocks, len(blocks)
        if 0 < guess < high and blocks[guess - 1] in held and blocks[guess] not in held:
            return guess
        if not high or blocks[0] not in held:
            return 0
        if blocks[high - 1] in held:
            return high
        low, high = 1, high - 1
        while low < high:
            middle = (low + high) // 2
            if blocks[middle] in held:
                low = middle + 1
            else:
                high = middle
        return low

    def add(self, blocks: Sequence[Block], tokens_per_byte: float) -> None:
        """The replica is sent a prompt of these blocks."""
        held, use = self._blocks, _Use(blocks)
        known = self.depth(blocks)
        if self._told:
            added = sum([ENDS[n + 1] - ENDS[n] for n, block in enumerate(blocks) if block not in held])
        else:
            added = ENDS[len(blocks)] - ENDS[known]
        if known:
            before = held[blocks[known - 1]]
            if before.first + len(before.blocks) == known and before in self._uses:
                del self._uses[before]
                self._listed -= len(before.blocks)
        for block in blocks:
            held[block] = use
        self._uses[use] = None
        self._listed += len(blocks)
        self._bytes += added
        self._tokens += added * tokens_per_byte
        self._shrink()
        if self._listed > self._most_listed:
            self._sweep()

    def drop(self, block: Block) -> None:
        """The replica has told that this block is gone."""
        self._told = True
        use = self._blocks.pop(block, None)
        if use is not None:
            self._less(use.first + use.blocks.index(block))

    def clear(self) -> None:
        """Nothing is held any more."""
        self._blocks.clear()
        self._uses.clear()
        self._bytes, self._tokens = 0, 0.0
        self._listed, self._most_listed = 0, _LISTED

    def bound(self, tokens: float | None) -> None:
        """Holds at most so many tokens from now on; None: as many as at first."""
        self._most = self._first_most if tokens is None else tokens
        self._shrink()

    def _shrink(self) -> None:
        held, uses = self._blocks, self._uses
        while self._tokens > self._most and uses:
            use = next(iter(uses))
            while use.left and self._tokens > self._most:
                use.left -= 1
                block = use.blocks[use.left]
                if held.get(block) is use:
                    del held[block]
                    self._less(use.first + use.left)
            if not use.left:
                del uses[use]
                self._listed -= len(use.blocks)

    def _sweep(self) -> None:
        """Uses list what they hold from now on, and nothing else; done again when twice as much is listed."""
        held, uses = self._blocks, self._uses
        self._uses, self._listed = OrderedDict(), 0
        for use in uses:
            places = [place for place, block in enumerate(use.blocks) if held.get(block) is use]
            if places:
                use.blocks = use.blocks[places[0] : places[-1] + 1]
                use.first, use.left = use.first + places[0], len(use.blocks)
                self._uses[use] = None
                self._listed += use.left
        self._most_listed = max(_LISTED, 2 * self._listed)

    def _less(self, place: int) -> None:
        """A block is gone that was number `place` of its prompt; all bytes are taken for equally many tokens."""
        size = ENDS[place + 1] - ENDS[place]
        self._tokens -= self._tokens * size / self._bytes
        self._bytes -= size
