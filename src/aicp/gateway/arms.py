"""Which destination of a public name gets a request: by weight, and the same one for all requests of a session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar


class Way(Protocol):
    """A destination; without replicas nothing is ready there."""

    @property
    def name(self) -> str:
        """Tells it apart from the others of its route."""
        ...

    @property
    def replicas(self) -> Collection[object]:
        """Where its requests can go."""
        ...


W = TypeVar("W", bound=Way)
Share = tuple[W, int]
"""A destination and its weight."""


class Arms(Generic[W]):
    """The destinations of one public name, of one route table."""

    __slots__ = ("_by_key", "_fallbacks", "_name", "_shares")

    def __init__(self, name: str, shares: Sequence[Share[W]], fallbacks: Sequence[W], *, by_key: bool = False) -> None:
        self._name = name.encode()
        self._shares = [(way, weight) for way, weight in shares if weight > 0]
        self._fallbacks = fallbacks
        self._by_key = by_key

    def ways(self, session: bytes, key: str, random: Callable[[], float]) -> list[W]:
        """The destination of a request first, then where else it may go, in order; only where something is ready.

        Chosen by weight: for a session by its hash, so that every gateway chooses alike and a change of weights moves
        no more sessions than it must; else by `random` (floats from 0 to 1), or by `key` where that is asked for.
        """
        stays = session or (key.encode() if self._by_key else b"")
        chosen = self._choose(self._hash(stays) if stays else random())
        ways = [chosen] if chosen is not None else []
        ways += [way for way in self._fallbacks if way.replicas and (chosen is None or way.name != chosen.name)]
        return ways

    def find(self, name: str) -> W | None:
        """The destination of that name."""
        ways = [*(way for way, _ in self._shares), *self._fallbacks]
        return next((way for way in ways if way.name == name), None)

    def _choose(self, point: float) -> W | None:
        """First among all: a session comes back to its arm as soon as that is ready again."""
        if not self._shares:
            return None
        way, rest = _at(self._shares, point)
        if way.replicas:
            return way
        ready = [share for share in self._shares if share[0].replicas]
        return _at(ready, rest)[0] if ready else None

    def _hash(self, text: bytes) -> float:
        digest = blake2b(self._name + b"\0" + text, digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def _at(shares: Sequence[Share[W]], point: float) -> tuple[W, float]:
    """The destination at `point` (0 to 1) of all weights in a row, and where within its own part that is (0 to 1)."""
    left = point * sum(weight for _, weight in shares)
    for way, weight in shares:
        if left < weight:
            return way, left / weight
        left -= weight
    return shares[-1][0], 0.0  # the sum of what is left can be wrong in its last digit
