"""Requests to services that sleep: they are held while their service wakes, a bounded number and for a bounded time.

The control plane hears of the first one at once, of how many there are with every heartbeat, and answers with a route
table in which there is a replica. A request that was held begins anew then: its patience is that of one that just came.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

from aicp.core.clock import Clock
from aicp.gateway.api_keys import Key
from aicp.gateway.errors import ApiError, unavailable
from aicp.gateway.routes import Route, Table, not_ready
from aicp.gateway.shortage import Shortage

MOST_HELD: Final = 1000
"""Requests of one service."""
_MOST_BYTES: Final = 64 * 2**20
"""Bodies of all that are held."""
_LINGER_SECONDS: Final = 3.0
"""One that was refused wakes the service all the same: it is told of for so long."""
_SPARE_SECONDS: Final = 1.0
_UNCLAIMED_SECONDS: Final = 1.0
"""A place whose request does not begin to wait, as its client has left at once, is given back after so long."""
_LATEST_RETRY_SECONDS: Final = 600


class Asleep(Shortage):
    """A request that may be held; it is the 503 where it may not."""


class _Sleeper:
    """What is held for one service."""

    __slots__ = ("asked_until", "held", "since")

    def __init__(self, now: float) -> None:
        self.held: set[_Place] = set()
        self.since = now
        """When the first one came."""
        self.asked_until = now


class _Place:
    """One request that is held."""

    __slots__ = ("name", "project", "size", "sleeper", "turn")

    def __init__(
        self, name: str, project: str, size: int, sleeper: _Sleeper, turn: asyncio.Future[ApiError | None]
    ) -> None:
        self.name, self.project, self.size, self.sleeper, self.turn = name, project, size, sleeper, turn


class Sleepers:
    """Holds requests. `follow` must hear of every route table; `hurry` tells the control plane at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[str, _Sleeper] = {}
        self._table: Table | None = None
        self._bytes = 0
        self._draining = False
        self.hurry: Callable[[], None] = _nobody

    def held(self) -> dict[str, int]:
        """How many requests wait, by service; one that was refused just now counts, too."""
        now = self._clock.monotonic()
        self._all = {name: one for name, one in self._all.items() if one.held or now < one.asked_until}
        return {name: len(one.held) or 1 for name, one in self._all.items()}

    def refuse_or_hold(self, route: Route, key: Key, patience: float, size: int, go_on: Callable[[], Any]) -> ApiError:
        """What is to be raised for a request to a route without replicas: an Asleep is held, others are answers.

        `patience` is how long it would wait for a place, `size` that of its body; `go_on` lets it in anew.
        """
        wake = route.entry.wake
        if wake is None:
            return not_ready(route)
        if self._draining:
            return _ending()
        now = self._clock.monotonic()
        one = self._all.get(route.service)
        if one is None:
            one = self._all[route.service] = _Sleeper(now)
            self.hurry()
        one.asked_until = now + _LINGER_SECONDS
        expected = wake.wake_seconds
        if expected is not None and expected - (now - one.since) > wake.max_wait_seconds:
            return _too_slow(route, expected, wake.max_wait_seconds)
        if len(one.held) >= MOST_HELD or self._bytes + size > _MOST_BYTES:
            return _too_many(route, _retry(expected, now - one.since))
        seconds = wake.max_wait_seconds
        if expected is not None:
            seconds = min(seconds, patience + expected)
        loop = asyncio.get_running_loop()
        # it is counted, and hears of tables, before its task begins: the next one may come earlier
        place = _Place(route.public, key.project, size, one, loop.create_future())
        one.held.add(place)
        self._bytes += size
        unclaimed = loop.call_later(_UNCLAIMED_SECONDS, self._give_back, place)
        asleep = Asleep(not_ready(route), lambda: self._wait(route, place, unclaimed, seconds))
        asleep.seconds = seconds + _SPARE_SECONDS
        asleep.go_on = go_on
        return asleep

    def follow(self, table: Table) -> None:
        """Takes a new table: what waits for a service that is awake, or that will not wake any more, goes on."""
        self._table = table
        for one in self._all.values():
            for place in one.held:
                route = table.of_project(place.name, place.project)
                if route is None or route.replicas or route.entry.wake is None:
                    one.asked_until = 0.0
                    _end(place, None)

    def drain(self) -> None:
        """The gateway ends: what is held is told to come again."""
        self._draining = True
        for one in self._all.values():
            for place in one.held:
                _end(place, _ending())

    async def _wait(self, route: Route, place: _Place, unclaimed: asyncio.TimerHandle, seconds: float) -> None:
        """Until the service is awake. Raises ApiError 503 when that takes too long or the gateway ends."""
        unclaimed.cancel()
        try:
            async with asyncio.timeout(seconds):
                error = await place.turn
        except TimeoutError:
            raise self._late(route, seconds, self._clock.monotonic() - place.sleeper.since) from None
        finally:
            self._give_back(place)
        if error is not None:
            raise error

    def _give_back(self, place: _Place) -> None:
        """It counts no more; one that waits on it all the same is judged anew."""
        if place in place.sleeper.held:
            place.sleeper.held.discard(place)
            self._bytes -= place.size
        _end(place, None)

    def _late(self, route: Route, seconds: float, slept: float) -> ApiError:
        """It is not awake yet; the table of now knows why."""
        found = None if self._table is None else self._table.of_project(route.public, route.project or "")
        entry = (found or route).entry
        reason = f" ({entry.reason})" if entry.reason else ""
        expected = None if entry.wake is None else entry.wake.wake_seconds
        retry = _retry(expected, slept)
        message = (
            f"The model {route.public!r} was asleep and did not wake within {seconds:g} s{reason}. "
            f"Try again in {retry} s."
        )
        return unavailable(message, retry_after=retry, code="model_waking")


def _end(place: _Place, error: ApiError | None) -> None:
    if not place.turn.done():
        place.turn.set_result(error)


def _nobody() -> None:
    """There is no control plane that could wake anything."""


def _retry(expected: float | None, slept: float) -> int:
    left = 10.0 if expected is None else expected - slept
    return min(max(math.ceil(left), 1), _LATEST_RETRY_SECONDS)


def _too_slow(route: Route, expected: float, most: float) -> ApiError:
    retry = _retry(expected, 0.0)
    message = (
        f"The model {route.public!r} was asleep and wakes now, which takes about {expected:g} s; requests wait "
        f"{most:g} s for it at most. Try again in {retry} s."
    )
    return unavailable(message, retry_after=retry, code="model_waking")


def _too_many(route: Route, retry: int) -> ApiError:
    message = f"The model {route.public!r} wakes, and as many requests as may wait for it do. Try again in {retry} s."
    return unavailable(message, retry_after=retry, code="model_waking")


def _ending() -> ApiError:
    return unavailable("The gateway is ending; send the request again.", retry_after=1, code="shutting_down")
