"""A request whose media are fetched first: it stands in its connection's place of an exchange until it becomes one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from aicp.gateway.answer import Answer
from aicp.gateway.errors import ApiError, internal_error
from aicp.gateway.links import LinkedMedia
from aicp.gateway.media import Fetcher
from aicp.gateway.meter import Meter

log = logging.getLogger(__name__)

_CLIENT_LEFT = 499


class Going(Protocol):
    """What a request is when its media are there; see Exchange."""

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


class Fetching:
    """`go_on` takes the body with its media in it; None: it was answered at once. The client's connection calls the
    rest."""

    def __init__(
        self,
        fetcher: Fetcher,
        found: LinkedMedia,
        key_id: str,
        answer: Answer,
        meter: Meter,
        go_on: Callable[[bytes], Going | None],
    ) -> None:
        self._answer, self._meter, self._go_on = answer, meter, go_on
        self._exchange: Going | None = None
        self._paused = False
        self._task = asyncio.get_running_loop().create_task(self._run(fetcher, found, key_id))

    def cancel(self, outcome: str = "canceled") -> None:
        """See Exchange: nothing is fetched for a client that has left."""
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
        """See Exchange; fetching has a limit of its own."""
        if self._exchange is not None:
            self._exchange.check(now)

    async def _run(self, fetcher: Fetcher, found: LinkedMedia, key_id: str) -> None:
        try:
            self._exchange = self._go_on(await fetcher.fill(found, key_id))
        except ApiError as error:
            self._meter.close("rejected" if error.status < 500 else "unavailable", error.status)
            self._answer.error(error)
        except Exception:
            log.exception("the media of request %s could not be fetched", self._meter.request_id)
            self._meter.close("engine_error", 500)
            self._answer.error(internal_error())
        else:
            if self._paused and self._exchange is not None:
                self._exchange.pause()
