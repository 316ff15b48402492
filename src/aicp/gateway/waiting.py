"""A request that cannot begin yet: it stands in its connection's place of an exchange until it becomes one.

It waits for media that are fetched, for units of a limit that other processes may give back, or for a service that
sleeps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from aicp.gateway.answer import Answer
from aicp.gateway.errors import ApiError, internal_error
from aicp.gateway.links import LinkedMedia
from aicp.gateway.media import Fetcher
from aicp.gateway.meter import Meter
from aicp.gateway.shortage import Shortage
from aicp.gateway.sleepers import Asleep

log = logging.getLogger(__name__)

_CLIENT_LEFT = 499


class Going(Protocol):
    """What a request is when it has begun; see Exchange."""

    def cancel(self, outcome: str = "canceled") -> None:
        """The client has left, or the gateway ends."""
        ...

    def pause(self) -> None:
        """The client takes no more for now."""
        ...

    def resume(self) -> None:
        """The client takes more."""
        ...

    def check(self, now: float) -> None:
        """Once a second."""
        ...


class Waiting:
    """`making` begins it, or raises ApiError; None: it was answered at once. The client's connection calls the rest."""

    def __init__(self, making: Callable[[], Coroutine[Any, Any, Going | None]], answer: Answer, meter: Meter) -> None:
        self._answer, self._meter = answer, meter
        self._exchange: Going | None = None
        self._paused = False
        self._task = asyncio.get_running_loop().create_task(self._run(making))

    def cancel(self, outcome: str = "canceled") -> None:
        """See Exchange: nothing is done for a client that has left."""
        if self._exchange is not None:
            self._exchange.cancel(outcome)
            return
        self._task.cancel()
        self._meter.close(outcome, _CLIENT_LEFT)

    def pause(self) -> None:
        """See Exchange."""
        self._paused = True
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        """See Exchange."""
        self._paused = False
        if self._exchange is not None:
            self._exchange.resume()

    def check(self, now: float) -> None:
        """See Exchange; waiting has a limit of its own."""
        if self._exchange is not None:
            self._exchange.check(now)

    async def _run(self, making: Callable[[], Coroutine[Any, Any, Going | None]]) -> None:
        try:
            self._exchange = await making()
        except ApiError as error:
            self._meter.close("rejected" if error.status < 500 else "unavailable", error.status)
            self._answer.error(error)
        except Exception:
            log.exception("request %s could not begin", self._meter.request_id)
            self._meter.close("engine_error", 500)
            self._answer.error(internal_error())
        else:
            if self._paused and self._exchange is not None:
                self._exchange.pause()


async def fetched(
    fetcher: Fetcher, found: LinkedMedia, key: str, go_on: Callable[[bytes], Going | None]
) -> Going | None:
    """`go_on` begins with the body that has its media in it. Raises ApiError."""
    body = await fetcher.fill(found, key)
    try:
        return go_on(body)
    except Shortage as shortage:
        return await supplied(shortage)


async def supplied(shortage: Shortage) -> Going | None:
    """Tries again whenever there may be enough of what it lacks, as long as it may wait. Raises ApiError."""
    loop = asyncio.get_running_loop()
    go_on, deadline = shortage.go_on, loop.time() + shortage.seconds
    while go_on is not None:
        try:
            async with asyncio.timeout_at(deadline):
                await shortage.wait()
            return go_on()
        except TimeoutError:
            break
        except Shortage as again:
            if not isinstance(again, Asleep):  # a limit is waited for as briefly as by one whose service was awake
                deadline = min(deadline, loop.time() + again.seconds)
            shortage = again
    raise shortage
