"""How fast replicas are, learnt from what they were asked and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_KEPT: Final = 0.95
_FORGOTTEN_SECONDS: Final = 300.0
_ALIKE: Final = 1.25
FIRST_PREFILL_SECONDS: Final = 1 / 2000
"""For one prompt token, on a route of which nothing is known."""
_FIRST_BYTES_PER_TOKEN: Final = 4.0
_FIRST_ANSWER_TOKENS: Final = 200.0
_FIRST_PROMPT_TOKENS: Final = 1000.0
_NEW_PROMPT: Final = 0.01
"""Prompts differ by far more than answers do, so their mean is taken over more of them."""


class Pace:
    """Seconds for one unit of work. Old observations fade, large ones count for more than small ones."""

    __slots__ = ("_at", "_seconds", "_work")

    def __init__(self) -> None:
        self._work = self._seconds = self._at = 0.0

    def learn(self, work: float, seconds: float, now: float) -> None:
        """Some work has taken so long; no work tells nothing. `now` is monotonic."""
        if not work:
            return
        if not self.seen(now):
            self._work = self._seconds = 0.0
        self._work = self._work * _KEPT + work
        self._seconds = self._seconds * _KEPT + seconds
        self._at = now

    def seen(self, now: float) -> float:
        """Seconds for one unit; 0.0 before the first observation, and when the last one is five minutes old.

        A replica that once was slow would otherwise get nothing and be thought slow for ever.
        """
        return self._seconds / self._work if self._work and now - self._at < _FORGOTTEN_SECONDS else 0.0


def believed(seen: Sequence[float], default: float) -> list[float]:
    """What to reckon with, given what was seen of each replica of a route (0.0: nothing).

    What differs by a quarter at most is taken for equal: chance would otherwise make one of many like replicas the
    favourite.
    One of which nothing was seen is like the mean of the others.
    """
    known = sorted(value for value in seen if value)
    if not known:
        return [default] * len(seen)
    shown = {0.0: sum(known) / len(known)}
    group: list[float] = []
    for value in [*known, float("inf")]:
        if group and value > group[0] * _ALIKE:
            shown |= dict.fromkeys(group, sum(group) / len(group))
            group = []
        group.append(value)
    return [shown[value] for value in seen]


class Traffic:
    """What the requests of a route are like. It outlives route tables."""

    __slots__ = ("_bytes", "_tokens", "answer_tokens", "look_at", "prefill_seconds", "prompt_tokens")

    def __init__(self) -> None:
        self._bytes = self._tokens = 0.0
        self.answer_tokens = _FIRST_ANSWER_TOKENS
        """How long an answer is on the average."""
        self.prompt_tokens = _FIRST_PROMPT_TOKENS
        """How long a prompt is on the average."""
        self.prefill_seconds = FIRST_PREFILL_SECONDS
        """The usual time for one prompt token, over all replicas."""
        self.look_at = 0.0
        """When the speeds of the replicas are looked at again (monotonic)."""

    @property
    def prompt_seconds(self) -> float:
        """The usual time for a usual prompt of which nothing is in a cache."""
        return self.prompt_tokens * self.prefill_seconds

    @property
    def bytes_per_token(self) -> float:
        """Bytes of a request for one token of its prompt; 4 until an engine has counted."""
        return self._bytes / self._tokens if self._tokens else _FIRST_BYTES_PER_TOKEN

    def learn(self, size: int, prompt: int | None, completion: int | None) -> None:
        """An engine has counted a request of `size` bytes."""
        if prompt:
            self._bytes = self._bytes * _KEPT + size
            self._tokens = self._tokens * _KEPT + prompt
            self.prompt_tokens += _NEW_PROMPT * (prompt - self.prompt_tokens)
            self.answer_tokens += (1 - _KEPT) * ((completion or 0) - self.answer_tokens)
