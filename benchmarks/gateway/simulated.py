"""A simulated inference engine that tells when it would have done what: for virtual time and for a real clock."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.traces import BLOCK_TOKENS

CACHE_BLOCKS = 8000
"""410,000 tokens: what the memory of one 80 GB card holds of an 8B model's."""
TOTAL_PREFILL = 50_000.0
"""Prompt tokens a second of four replicas together: the trace brings 41,000, of which a third repeats."""
STEP_SECONDS = 0.02
STEP_ANSWERS = 100
REQUEST_SECONDS = 0.01
NOISE = 0.1
ALIKE = (1.0, 1.0, 1.0, 1.0)
UNLIKE = (2.0, 1.0, 1.0, 0.5)


@dataclass
class Engine:
    """A simulated replica. `prefill` is tokens a second, `slow` how much longer than usual a step takes."""

    prefill: float
    slow: float
    capacity: int
    chance: random.Random
    held: OrderedDict[int, None] = field(default_factory=OrderedDict)
    free_at: float = 0.0
    writing: int = 0
    computed: float = 0.0
    hits: int = 0
    asked: int = 0

    def known(self, blocks: Sequence[int]) -> int:
        """How many of the first blocks it holds."""
        return next((n for n, block in enumerate(blocks) if block not in self.held), len(blocks))

    def read(self, blocks: Sequence[int], now: float) -> float:
        """Takes a prompt; when it will have been read. Whoever comes later finds its blocks."""
        hit = self.known(blocks)
        fresh = (len(blocks) - hit) * BLOCK_TOKENS
        self.hits += hit
        self.asked += len(blocks)
        self.computed += fresh
        seconds = (fresh / self.prefill + REQUEST_SECONDS) * self.chance.lognormvariate(0.0, NOISE)
        self.free_at = max(now, self.free_at) + seconds
        for block in reversed(blocks):
            self.held[block] = None
            self.held.move_to_end(block)
        while len(self.held) > self.capacity:
            self.held.popitem(last=False)
        return self.free_at

    def write(self, tokens: int) -> float:
        """Begins an answer; how many seconds it takes."""
        self.writing += 1
        return tokens * STEP_SECONDS * self.slow * (1 + self.writing / STEP_ANSWERS)


def fleet(speeds: Sequence[float], seed: int) -> list[Engine]:
    """Fresh engines of these relative speeds."""
    return [
        Engine(TOTAL_PREFILL / 4 * speed, 1 / speed, CACHE_BLOCKS, random.Random(seed * 100 + number))
        for number, speed in enumerate(speeds)
    ]
