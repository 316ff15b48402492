"""The conversation trace of Mooncake: a real hour of a chat service, prompts as numbers of 512-token blocks.

mooncake_conversation.txt.xz is FAST25-release/traces/conversation_trace.jsonl of https://github.com/kvcache-ai/Mooncake
(commit 3b5a594133958449a1feaf1c9e0fc1b553e34a28, Apache-2.0), one request a line: milliseconds, tokens of its answer,
and its blocks as runs (first number, length). The input's exact length is left out; its last block counts as whole.
"""

from __future__ import annotations

import lzma
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BLOCK_TOKENS = 512
BLOCK_BYTES = 2048
_FILE = Path(__file__).with_name("mooncake_conversation.txt.xz")
_STEP_SECONDS = 3.0
"""The trace's own clock: arrivals are told in steps of so long."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request of the trace. `at` is seconds since its start."""

    at: float
    blocks: tuple[int, ...]
    answer_tokens: int


def read(*, half: int | None = None, speed: float = 1.0, seed: int = 0) -> list[Arrival]:
    """All arrivals, or those of its first (0) or second (1) half hour, `speed` times as fast.

    They are spread within the trace's steps of three seconds by chance, since all at once is how nobody asks.
    """
    chance = random.Random(seed)
    lines = lzma.decompress(_FILE.read_bytes()).decode().splitlines()
    middle = len(lines) // 2
    kept = {None: lines, 0: lines[:middle], 1: lines[middle:]}[half]
    arrivals = [_arrival(line, chance) for line in kept]
    start = min(arrival.at for arrival in arrivals)
    shifted = [Arrival((one.at - start) / speed, one.blocks, one.answer_tokens) for one in arrivals]
    return sorted(shifted, key=lambda one: one.at)


def text_of(block: int) -> str:
    """The fixed text of a block: 2 KB, so that bytes and tokens repeat alike."""
    chance = random.Random(block)
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz     ", k=64)) * (BLOCK_BYTES // 64)


def _arrival(line: str, chance: random.Random) -> Arrival:
    milliseconds, answer, *runs = map(int, line.split())
    blocks = [block for first, length in _pairs(runs) for block in range(first, first + length)]
    return Arrival(milliseconds / 1000 + chance.uniform(0.0, _STEP_SECONDS), tuple(blocks), answer)


def _pairs(runs: Sequence[int]) -> zip[tuple[int, int]]:
    return zip(runs[::2], runs[1::2], strict=True)
