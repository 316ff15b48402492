"""The answers that are kept under one rule, in memory: the one that was used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from aicp.core.route import CacheEntry
from aicp.gateway import cache_index
from aicp.gateway.cache_file import Line
from aicp.gateway.cache_index import Neighbours

_ENTRY_BYTES = 600
"""What an entry takes beside its answer and its vector."""
_NEAR = 8
"""How many neighbours are looked at."""
_INDEXES = 64
"""How many spaces have an index at a time (about 50 KiB each, beside its vectors); those used longest ago have none."""
_numbers = count(1)


class Kept:
    """An answer. `number` is its name in the index; `size` what it takes in memory, about."""

    __slots__ = ("body", "gist", "key", "kind", "made_at", "number", "space", "tokens", "vector")

    def __init__(
        self, key: bytes, made_at: float, kind: str, body: bytes, tokens: int, space: bytes = b"", gist: bytes = b""
    ) -> None:
        self.key, self.made_at, self.kind, self.body, self.tokens = key, made_at, kind, body, tokens
        self.space, self.gist = space, gist
        self.vector = b""
        self.number = next(_numbers)

    @property
    def size(self) -> int:
        """Bytes."""
        return _ENTRY_BYTES + len(self.body) + 2 * len(self.vector)


class Near(NamedTuple):
    """What similarity finds: the like question whose answer may be given, and whether others were like it by their
    vectors alone."""

    kept: Kept | None
    gated: bool


class Cache:
    """What one rule keeps."""

    def __init__(self, rule: CacheEntry) -> None:
        self.rule = rule
        self.bytes = 0
        self.counts: dict[str, int] = {}
        """What happened since the start, by its name."""
        self.similar = False
        """Whether vectors can be compared."""
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._spaces: dict[bytes, dict[int, Kept]] = {}
        """Entries with a vector, by space and number."""
        self._gists: dict[tuple[bytes, bytes], int] = {}
        """How many entries with a vector have these words in this space."""
        self._indexes: OrderedDict[bytes, Neighbours] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    @property
    def vectors(self) -> int:
        """How many entries have one."""
        return sum(map(len, self._spaces.values()))

    def note(self, what: str, number: int = 1) -> None:
        """Counts something."""
        self.counts[what] = self.counts.get(what, 0) + number

    def find(self, key: bytes, now: float) -> Kept | None:
        """The answer to the very same request. `now` is Unix time."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._is_old(kept, now):
            self._drop(kept)
            return None
        self._kept.move_to_end(key)
        return kept

    def knows(self, space: bytes, gist: bytes) -> bool:
        """Whether a question of these words was answered, so that it is worth to compare vectors."""
        return self.similar and (space, gist) in self._gists

    def near(self, space: bytes, gist: bytes, vector: bytes, now: float) -> Near:
        """What is alike by its vector and by its words."""
        gated = False
        for number, likeness in self._neighbours(space, vector):
            kept = self._spaces[space][number]
            if likeness < self.rule.threshold or self._is_old(kept, now):
                continue
            if kept.gist == gist:
                return Near(kept, gated)
            gated = True
        return Near(None, gated)

    def touch(self, kept: Kept) -> None:
        """It was used."""
        if self._kept.get(kept.key) is kept:
            self._kept.move_to_end(kept.key)

    def put(self, kept: Kept, vector: bytes = b"") -> None:
        """Keeps an answer in the place of an earlier one, and lets the oldest go that have no room."""
        before = self._kept.get(kept.key)
        if before is not None:
            self._drop(before)
        self._kept[kept.key] = kept
        self.bytes += kept.size
        if vector:
            self.give_vector(kept, vector)
        while len(self._kept) > self.rule.max_entries:
            self.drop_oldest()

    def give_vector(self, kept: Kept, vector: bytes) -> bool:
        """The vector of its question has come; False when it is kept no more."""
        if self._kept.get(kept.key) is not kept or kept.vector or not vector:
            return False
        kept.vector = vector
        self.bytes += 2 * len(vector)
        self._spaces.setdefault(kept.space, {})[kept.number] = kept
        self._gists[kept.space, kept.gist] = self._gists.get((kept.space, kept.gist), 0) + 1
        index = self._indexes.get(kept.space)
        if index is not None and index.size == len(vector):
            index.add(kept.number, vector)
        return True

    def drop_oldest(self) -> None:
        """Lets go what was used longest ago."""
        if self._kept:
            self._drop(next(iter(self._kept.values())))

    def drop_expired(self, now: float) -> None:
        """Lets go what is too old."""
        for kept in [kept for kept in self._kept.values() if self._is_old(kept, now)]:
            self._drop(kept)

    def lines(self) -> Iterator[Line]:
        """All entries as the file holds them."""
        return (self.line(kept) for kept in list(self._kept.values()))

    def line(self, kept: Kept) -> Line:
        """An entry as the file holds it."""
        rule = self.rule
        own = (kept.key, kept.made_at, kept.kind, kept.body, kept.tokens, kept.space, kept.gist, kept.vector)
        return Line(rule.project, rule.model, rule.generation, *own)

    def take(self, line: Line) -> None:
        """An entry of the file comes back; of two with one key the later one."""
        kept = Kept(line.key, line.made_at, line.kind, line.body, line.tokens, line.space, line.gist)
        self.put(kept, line.vector)

    def _is_old(self, kept: Kept, now: float) -> bool:
        return kept.made_at + self.rule.ttl <= now

    def _neighbours(self, space: bytes, vector: bytes) -> list[tuple[int, float]]:
        if not self.similar or space not in self._spaces:
            return []
        index = self._indexes.get(space)
        if index is None or index.size != len(vector):
            index = self._indexes[space] = Neighbours(len(vector))
            for kept in self._spaces[space].values():
                if len(kept.vector) == index.size:
                    index.add(kept.number, kept.vector)
        self._indexes.move_to_end(space)
        if len(self._indexes) > _INDEXES:
            self._indexes.popitem(last=False)
        return [found for found in index.nearest(vector, _NEAR) if found[0] in self._spaces[space]]

    def _drop(self, kept: Kept) -> None:
        del self._kept[kept.key]
        self.bytes -= kept.size
        if not kept.vector:
            return
        space = self._spaces[kept.space]
        del space[kept.number]
        index = self._indexes.get(kept.space)
        if index is not None and index.size == len(kept.vector):
            index.remove(kept.number)
        if not space:
            del self._spaces[kept.space]
            self._indexes.pop(kept.space, None)
        words = (kept.space, kept.gist)
        self._gists[words] -= 1
        if not self._gists[words]:
            del self._gists[words]


def can_compare(rule: CacheEntry) -> bool:
    """Whether the rule asks for likeness and the library for it is there."""
    return rule.embedding_model is not None and cache_index.is_loaded()
