"""The index of prompts' beginnings: never a hit of what was not sent there, bounded, and in order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aicp.gateway.prefixes import ENDS, Held, chain

TEXTS = st.lists(st.sampled_from([b"a" * 300, b"b" * 300, b"c" * 700]), max_size=12).map(b"".join)


def shared(left: bytes, right: bytes) -> int:
    """How many whole blocks two texts have in common, by comparing them."""
    known = [end for end in ENDS if end <= min(len(left), len(right)) and left[:end] == right[:end]]
    return len(known) - 1


def test_blocks_grow_so_that_long_bodies_have_few() -> None:
    sizes = [end - start for start, end in pairwise(ENDS)]
    assert sizes[0] == 256
    assert sizes == sorted(sizes)
    assert all(size <= max(256, start / 32) for start, size in zip(ENDS, sizes, strict=False))
    assert len(chain(0, bytes(32 << 20))) < 300


@given(TEXTS, TEXTS)
def test_two_chains_share_what_their_texts_share(left: bytes, right: bytes) -> None:
    one, other = chain(1, left), chain(1, right)
    common = shared(left, right)
    assert one[:common] == other[:common]
    assert one[common : common + 1] != other[common : common + 1] or not one[common:]
    assert not set(one) & set(chain(2, right)), "another start shares nothing"


@given(st.lists(TEXTS, max_size=20), TEXTS)
def test_a_hit_is_what_was_sent_before(sent: list[bytes], asked: bytes) -> None:
    held = Held(1e9)
    for text in sent:
        held.add(chain(0, text), 0.25)
    assert held.depth(chain(0, asked)) == max((shared(text, asked) for text in sent), default=0)
    assert held.depth(chain(1, asked)) == 0


@given(st.lists(TEXTS, max_size=60), TEXTS)
def test_a_small_index_forgets_but_never_invents(sent: list[bytes], asked: bytes) -> None:
    held = Held(1000)
    longest = 0
    for text in sent:
        held.add(chain(0, text), 0.25)
        longest = max(longest, len(text) // 256)
        assert len(held) <= 2 * (750 // 64 + longest + 1)
    assert held.depth(chain(0, asked)) <= max((shared(text, asked) for text in sent), default=0)
    if sent:
        blocks = chain(0, sent[-1])
        assert held.depth(blocks) == len(blocks), "what came last is there"


def test_what_is_used_again_stays() -> None:
    held, hot = Held(1000), chain(0, b"h" * 512)
    held.add(hot, 0.25)
    for number in range(100):
        held.add(chain(number, bytes(1024)), 0.25)
        held.add(hot, 0.25)
    assert held.depth(hot) == 2
    assert held.depth(chain(0, bytes(1024))) == 0
