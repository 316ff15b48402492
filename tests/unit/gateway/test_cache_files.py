"""What a cache keeps: in memory within its bounds, on disk through a crash, and only under its own rule."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from aicp.core.route import CacheEntry, RouteTable
from aicp.gateway.cache_file import CacheFile, Line
from aicp.gateway.cache_store import Cache, Kept
from aicp.gateway.caches import Caches
from aicp.security.keys import encode_pepper

RULE = CacheEntry("default", "demo", 60.0, generation="1")


def table(*rules: CacheEntry) -> RouteTable:
    return RouteTable("1", encode_pepper(bytes(32)), caches=list(rules))


def kept(name: str, body: bytes = b"{}", made_at: float = 100.0) -> Kept:
    return Kept(name.encode(), made_at, "json", body, 10)


def line(name: str) -> Line:
    return Line("default", "demo", "1", name.encode(), 100.0, "json", name.encode() * 10, 7)


def found(caches: Caches, name: str, rule: CacheEntry = RULE) -> bytes | None:
    cache = caches.of(rule.project).get(rule.model)
    answer = None if cache is None else cache.find(name.encode(), 0.0)
    return None if answer is None else answer.body


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    file = CacheFile(tmp_path / "cache.log")
    for name in ("a", "b"):
        file.append(line(name))
    file.close()
    assert list(CacheFile(tmp_path / "cache.log").read()) == [line("a"), line("b")]
    assert (tmp_path / "cache.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", [1, 5, 9, 20])
def test_a_torn_last_line_is_cut_off_and_the_file_goes_on(tmp_path: Path, left: int) -> None:
    path = tmp_path / "cache.log"
    file = CacheFile(path)
    file.append(line("a"))
    whole = path.stat().st_size
    file.append(line("b"))
    path.write_bytes(path.read_bytes()[: whole + left])
    again = CacheFile(path)
    assert list(again.read()) == [line("a")]
    assert path.stat().st_size == whole
    again.append(line("c"))
    assert list(CacheFile(path).read()) == [line("a"), line("c")]


def test_a_flipped_bit_ends_what_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "cache.log"
    file = CacheFile(path)
    file.append(line("a"))
    file.append(line("b"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert list(CacheFile(path).read()) == [line("a")]


def test_a_file_that_is_none_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "cache.log"
    path.write_bytes(b"something else")
    file = CacheFile(path)
    assert list(file.read()) == []
    file.append(line("a"))
    assert list(CacheFile(path).read()) == [line("a")]


def test_a_full_disk_costs_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cache.log"
    file = CacheFile(path)
    file.append(line("a"))
    real = os.write
    monkeypatch.setattr(os, "write", lambda number, data: real(number, data[:10]))
    file.append(line("b"))
    monkeypatch.undo()
    file.append(line("c"))
    assert list(CacheFile(path).read()) == [line("a"), line("c")]


def test_everything_is_there_again_after_a_crash(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "cache.log")
    caches.swap(table(RULE))
    caches.keep(caches.of("default")["demo"], kept("a", b"1"))
    caches.keep(caches.of("default")["demo"], kept("a", b"2"))
    again = Caches(tmp_path / "cache.log")
    again.swap(table(RULE))
    assert found(again, "a") == b"2"


def test_another_generation_is_empty_also_after_a_crash(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "cache.log")
    caches.swap(table(RULE))
    old = caches.of("default")["demo"]
    caches.keep(old, kept("a"))
    newer = replace(RULE, generation="2")
    caches.swap(table(newer))
    assert found(caches, "a") is None
    caches.keep(old, kept("late"))  # its request began under the rule before
    assert found(caches, "late") is None
    again = Caches(tmp_path / "cache.log")
    again.swap(table(newer))
    assert found(again, "a") is None


def test_another_threshold_or_time_to_live_keeps_what_is_there(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "cache.log")
    caches.swap(table(RULE))
    caches.keep(caches.of("default")["demo"], kept("a"))
    caches.swap(table(replace(RULE, threshold=0.97, ttl=5.0, measure=True)))
    assert found(caches, "a") == b"{}"


def test_no_project_sees_what_another_one_keeps(tmp_path: Path) -> None:
    other = replace(RULE, project="other")
    caches = Caches(tmp_path / "cache.log")
    caches.swap(table(RULE, other))
    caches.keep(caches.of("default")["demo"], kept("a"))
    assert found(caches, "a", other) is None
    assert not caches.of("nobody")


async def test_a_rule_that_is_gone_leaves_nothing_on_disk(tmp_path: Path) -> None:
    other = replace(RULE, model="other")
    caches = Caches(tmp_path / "cache.log")
    caches.swap(table(RULE, other))
    caches.keep(caches.of("default")["demo"], kept("a", b"secret answer"))
    caches.keep(caches.of("default")["other"], kept("b", b"fine"))
    caches.swap(table(other))
    await caches.rewrite()
    assert b"secret" not in (tmp_path / "cache.log").read_bytes()
    assert b"fine" in (tmp_path / "cache.log").read_bytes()
    caches.swap(table())
    assert not (tmp_path / "cache.log").exists()


async def test_what_comes_while_the_file_is_rewritten_is_not_lost(tmp_path: Path) -> None:
    file = CacheFile(tmp_path / "cache.log")
    for number in range(100):
        file.append(line(str(number)))
    file.begin_rewrite()
    file.append(line("meanwhile"))
    file.rewrite([line("99")])
    file.end_rewrite(written=True)
    file.append(line("after"))
    assert list(CacheFile(tmp_path / "cache.log").read()) == [line("99"), line("meanwhile"), line("after")]


def test_the_longest_unused_goes_first() -> None:
    cache = Cache(replace(RULE, max_entries=2))
    cache.put(kept("a"))
    cache.put(kept("b"))
    assert cache.find(b"a", 0.0)
    cache.put(kept("c"))
    assert cache.find(b"b", 0.0) is None
    assert cache.find(b"a", 0.0)
    assert len(cache) == 2


def test_what_is_too_old_is_not_given() -> None:
    cache = Cache(RULE)
    cache.put(kept("a", made_at=50.0))
    assert cache.find(b"a", 109.9)
    cache.rule = replace(RULE, ttl=10.0)  # a rule that changes holds for what is kept already
    assert cache.find(b"a", 59.9)
    assert cache.find(b"a", 60.0) is None
    assert len(cache) == 0 == cache.bytes
    cache.put(kept("b", made_at=50.0))
    cache.drop_expired(60.0)
    assert len(cache) == 0


def test_memory_is_bounded_over_all_rules(tmp_path: Path) -> None:
    other = replace(RULE, model="other")
    caches = Caches(tmp_path / "cache.log", most_bytes=20_000)
    caches.swap(table(RULE, other))
    caches.keep(caches.of("default")["other"], kept("small"))
    for number in range(50):
        caches.keep(caches.of("default")["demo"], kept(str(number), b"x" * 2000))
    assert sum(cache.bytes for cache in caches.of("default").values()) <= 20_000
    assert found(caches, "small", other) == b"{}"
    again = Caches(tmp_path / "cache.log", most_bytes=20_000)
    again.swap(table(RULE, other))
    assert found(again, "49") == b"x" * 2000
    assert sum(cache.bytes for cache in again.of("default").values()) <= 20_000
