"""What is alike within a cache: by vector and words, in its own space, as long as it is kept. Needs usearch."""

from __future__ import annotations

from math import cos, sin

import pytest

from aicp.core.route import CacheEntry
from aicp.gateway import cache_index
from aicp.gateway.cache_index import likeness, packed
from aicp.gateway.cache_store import Cache, Kept
from aicp.gateway.cache_words import gist_digest

SPACE, OTHER = b"s" * 16, b"o" * 16


@pytest.fixture
def cache() -> Cache:
    pytest.importorskip("usearch.index")
    cache_index.load()
    made = Cache(CacheEntry("p", "m", 100.0, embedding_model="e", threshold=0.95, max_entries=200))
    made.similar = True
    return made


def at(angle: float, size: int = 8) -> bytes:
    return packed([cos(angle), sin(angle)] + [0.0] * (size - 2))


def put(cache: Cache, text: str, vector: bytes, space: bytes = SPACE, made_at: float = 0.0) -> Kept:
    kept = Kept(text.encode() + space, made_at, "json", text.encode(), 1, space, gist_digest(text))
    cache.put(kept, vector)
    return kept


def test_it_must_be_near_and_of_the_same_words(cache: Cache) -> None:
    kept = put(cache, "enable it now", at(0.0))
    words = gist_digest("Enable it now!")
    assert cache.near(SPACE, words, at(0.1), 0.0).kept is kept
    assert cache.near(SPACE, words, at(0.5), 0.0) == (None, False)
    assert cache.near(SPACE, gist_digest("disable it now"), at(0.0), 0.0) == (None, True)
    assert cache.near(OTHER, words, at(0.0), 0.0) == (None, False)
    assert cache.knows(SPACE, words)
    assert not cache.knows(OTHER, words)


def test_the_nearest_one_of_other_words_does_not_hide_it(cache: Cache) -> None:
    kept = put(cache, "yes", at(0.1))
    for number in range(5):
        put(cache, f"no {number}", at(0.01 * number))
    found = cache.near(SPACE, gist_digest("yes"), at(0.0), 0.0)
    assert (found.kept, found.gated) == (kept, True)


def test_what_is_gone_or_too_old_is_not_found(cache: Cache) -> None:
    put(cache, "a", at(0.0), made_at=0.0)
    words = gist_digest("a")
    assert cache.near(SPACE, words, at(0.0), 99.0).kept
    assert cache.near(SPACE, words, at(0.0), 100.0).kept is None
    cache.drop_expired(100.0)
    assert not cache.knows(SPACE, words)
    assert (len(cache), cache.vectors, cache.bytes) == (0, 0, 0)
    assert cache.near(SPACE, words, at(0.0), 0.0).kept is None


def test_an_answer_that_is_replaced_is_found_once(cache: Cache) -> None:
    put(cache, "a", at(0.0))
    newer = put(cache, "a", at(0.05))
    assert cache.near(SPACE, gist_digest("a"), at(0.0), 0.0).kept is newer
    assert cache.vectors == 1


def test_a_vector_that_comes_late_is_for_what_is_still_kept(cache: Cache) -> None:
    kept = put(cache, "a", b"")
    assert not cache.knows(SPACE, gist_digest("a"))
    assert cache.give_vector(kept, at(0.0))
    assert not cache.give_vector(kept, at(0.0))
    assert cache.near(SPACE, gist_digest("a"), at(0.0), 0.0).kept is kept
    cache.drop_oldest()
    assert not cache.give_vector(kept, at(0.0))


def test_many_spaces_are_all_found_though_few_have_an_index_at_a_time(cache: Cache) -> None:
    spaces = [number.to_bytes(16, "big") for number in range(150)]
    for space in spaces:
        put(cache, "a", at(0.0), space)
    assert all(cache.near(space, gist_digest("a"), at(0.0), 0.0).kept for space in [*spaces, *spaces])
    assert len(cache._indexes) <= 64


def test_vectors_of_another_length_are_not_compared(cache: Cache) -> None:
    put(cache, "a", at(0.0, 8))
    assert cache.near(SPACE, gist_digest("a"), at(0.0, 16), 0.0).kept is None
    newer = put(cache, "b", at(0.0, 16))
    assert cache.near(SPACE, gist_digest("b"), at(0.0, 16), 0.0).kept is newer
    assert cache.near(SPACE, gist_digest("a"), at(0.0, 8), 0.0).kept
    cache.drop_oldest()
    cache.drop_oldest()
    assert cache.vectors == 0


def test_packed_vectors() -> None:
    assert likeness(packed([3.0, 4.0]), packed([6.0, 8.0])) == pytest.approx(1.0, abs=1e-3)
    assert likeness(packed([1.0, 0.0]), packed([0.0, 1.0])) == pytest.approx(0.0, abs=1e-3)
    assert likeness(packed([1.0]), packed([1.0, 0.0])) == 0.0
    assert packed([0.0, 0.0]) == packed([]) == packed([float("nan")]) == packed([float("inf")]) == b""
