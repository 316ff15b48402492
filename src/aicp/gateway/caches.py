"""All caches of a gateway: one for each rule of the route table, rebuilt from one file, bounded together.

A gateway whose table has no rule keeps nothing, and no file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from aicp.core.route import CacheEntry, RouteTable
from aicp.gateway import cache_index
from aicp.gateway.cache_file import CacheFile, Line
from aicp.gateway.cache_store import Cache, Kept, can_compare

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 2**20
"""What all caches hold in memory."""
_LOOK_SECONDS = 1.0
_NONE: Mapping[str, Cache] = {}


class Caches:
    """The caches by project and public model name. They outlive route tables as long as their generation."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._file = CacheFile(path)
        self._most_bytes = most_bytes
        self._caches: dict[tuple[str, str], Cache] = {}
        self._projects: dict[str, dict[str, Cache]] = {}
        self._read = False
        self._wiped = False
        """The file holds what must not be given any more."""
        self._library = True
        """What likeness needs was not missed yet."""
        self.calls = 0
        """Calls of embedding models that nobody waits for and that are under way."""

    def swap(self, table: RouteTable) -> None:
        """Takes the rules of a new table. What another generation kept is gone at once."""
        before, self._caches, self._projects = self._caches, {}, {}
        for rule in table.caches:
            cache = before.pop((rule.project, rule.model), None)
            if cache is None or _shape(cache.rule) != _shape(rule):
                self._wiped = self._wiped or cache is not None
                cache = Cache(rule)
            cache.rule, cache.similar = rule, can_compare(rule)
            while len(cache) > rule.max_entries:
                cache.drop_oldest()
            self._caches[rule.project, rule.model] = cache
            self._projects.setdefault(rule.project, {})[rule.model] = cache
        self._wiped = self._wiped or bool(before)
        if not self._caches:
            self._file.remove()
            self._wiped = False
        elif not self._read:
            self._load()
        self._read = True

    def of(self, project: str) -> Mapping[str, Cache]:
        """The caches of a project by public model name."""
        return self._projects.get(project, _NONE)

    def is_current(self, cache: Cache) -> bool:
        """Whether a cache is still in use: an answer that began under another generation is not kept."""
        return self._caches.get((cache.rule.project, cache.rule.model)) is cache

    def keep(self, cache: Cache, kept: Kept, vector: bytes = b"") -> None:
        """Keeps an answer, on disk too."""
        if self.is_current(cache):
            cache.put(kept, vector)
            self._bound()
            self._file.append(cache.line(kept))

    def give_vector(self, cache: Cache, kept: Kept, vector: bytes) -> None:
        """Keeps the vector of a question whose answer is kept."""
        if self.is_current(cache) and cache.give_vector(kept, vector):
            self._bound()
            self._file.append(cache.line(kept))

    async def run(self, now: Callable[[], float]) -> None:
        """Looks after them for ever: loads what likeness needs, lets go what is too old, keeps the file short."""
        while True:
            if self._caches:
                await self._load_library()
                for cache in list(self._caches.values()):
                    cache.drop_expired(now())
                if self._wiped or self._file.is_stale(sum(cache.bytes for cache in self._caches.values())):
                    await self.rewrite()
            await asyncio.sleep(_LOOK_SECONDS)

    async def rewrite(self) -> None:
        """Writes the file anew with what is of use."""
        self._wiped = False
        lines = [line for cache in self._caches.values() for line in cache.lines()]
        self._file.begin_rewrite()
        written = False
        try:
            await asyncio.to_thread(self._file.rewrite, lines)
            written = True
        except OSError as error:
            log.warning("the cache's file cannot be written anew: %s", error)
        finally:
            self._end_rewrite(written=written and bool(self._caches))

    def samples(self) -> dict[str, list[tuple[tuple[str, ...], int]]]:
        """Present values by the names of their metrics, each with its labels; empty where there is no cache."""
        caches = self._caches.items()
        return {
            "cache_events_total": [((*name, what), n) for name, cache in caches for what, n in cache.counts.items()],
            "cache_entries": [(name, len(cache)) for name, cache in caches],
            "cache_vectors": [(name, cache.vectors) for name, cache in caches],
            "cache_bytes": [(name, cache.bytes) for name, cache in caches],
            "cache_likeness_ready": [(name, int(cache.similar)) for name, cache in caches],
        }

    def _load(self) -> None:
        try:
            for line in self._file.read():
                self._take(line)
        except OSError as error:
            log.warning("what the cache held before cannot be read: %s", error)

    def _take(self, line: Line) -> None:
        cache = self._caches.get((line.project, line.model))
        if cache is None or cache.rule.generation != line.generation:
            self._wiped = True
            return
        cache.take(line)
        self._bound()

    def _bound(self) -> None:
        caches: Iterable[Cache] = self._caches.values()
        while sum(cache.bytes for cache in caches) > self._most_bytes:
            max(caches, key=lambda cache: cache.bytes).drop_oldest()

    async def _load_library(self) -> None:
        wanting = [cache for cache in self._caches.values() if cache.rule.embedding_model and not cache.similar]
        if not wanting or not self._library:
            return
        try:
            await asyncio.to_thread(cache_index.load)
        except ImportError as error:
            self._library = False
            log.error("questions that are alike cannot be found, only the very same ones: %s", error)
            return
        for cache in self._caches.values():
            cache.similar = can_compare(cache.rule)

    def _end_rewrite(self, *, written: bool) -> None:
        try:
            self._file.end_rewrite(written=written)
            if not self._caches:
                self._file.remove()
        except OSError as error:
            log.warning("the cache's file cannot be replaced: %s", error)


def _shape(rule: CacheEntry) -> CacheEntry:
    """What kept answers and vectors depend on."""
    return replace(rule, ttl=0.0, measure=False, threshold=0.0, max_entries=0, any_temperature=False)
