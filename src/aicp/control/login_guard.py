"""Slows down whoever guesses passwords."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from aicp.core.clock import Clock
from aicp.core.errors import TooManyRequestsError

FREE_FAILURES = 5
FREE_FAILURES_OF_ADDRESS = 20
LONGEST_WAIT_SECONDS = 300.0
_FORGOTTEN_AFTER_SECONDS = 900.0
_MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    wait_seconds: float = 0.0


class LoginGuard:
    """Counts failed logins by user and address together, so that nobody can lock a user out from elsewhere, and by
    address alone. Beyond the free failures each one doubles the wait. In memory: a restart forgives."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, str], _Failures] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, user: str, address: str | None) -> AsyncIterator[None]:
        """One attempt at a time from an address: many at once would all pass before the first failure is counted.

        Raises TooManyRequestsError while the wait lasts.
        """
        turn = self._turns.setdefault(address or "", asyncio.Lock())
        self.check(user, address)
        async with turn:
            self.check(user, address)
            yield

    def check(self, user: str, address: str | None) -> None:
        """Raises TooManyRequestsError while the wait lasts."""
        now = self._clock.monotonic()
        waits = [
            found.last + found.wait_seconds - now
            for key, _ in _keys(user, address)
            if (found := self._failures.get(key)) is not None
        ]
        seconds = max(waits, default=0.0)
        if seconds > 0:
            raise TooManyRequestsError(
                f"Too many failed logins. Try again in {int(seconds) + 1} s.",
                details={"retry_after_seconds": int(seconds) + 1},
            )

    def failed(self, user: str, address: str | None) -> None:
        """Counts a failure."""
        self._forget_old()
        for key, free in _keys(user, address):
            found = self._failures.setdefault(key, _Failures())
            found.count += 1
            found.last = self._clock.monotonic()
            if found.count >= free:
                found.wait_seconds = min(2.0 ** min(found.count - free, 20), LONGEST_WAIT_SECONDS)

    def passed(self, user: str, address: str | None) -> None:
        """Forgives the user at this address."""
        self._failures.pop(_keys(user, address)[0][0], None)

    def _forget_old(self) -> None:
        oldest = self._clock.monotonic() - _FORGOTTEN_AFTER_SECONDS
        # Insertion order is roughly age; under a flood of names the earliest go first.
        for key, found in list(self._failures.items()):
            if found.last < oldest or len(self._failures) > _MOST_REMEMBERED:
                del self._failures[key]


def _keys(user: str, address: str | None) -> list[tuple[tuple[str, str], int]]:
    return [((user, address or ""), FREE_FAILURES), (("", address or ""), FREE_FAILURES_OF_ADDRESS)]
