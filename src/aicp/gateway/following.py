"""What the gateway does for and asks of the control plane: the newest route table, a sign of life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from aicp.core.clock import Clock
from aicp.core.errors import AicpError
from aicp.core.live import NOBODY, LiveReport, Watched
from aicp.core.route import RouteTable
from aicp.gateway.routes import Routes

log = logging.getLogger(__name__)

_WAIT_SECONDS = 30.0
_BEAT_SECONDS = 1.0
_SAVE_AGAIN_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5
"""Short: control is on this machine, and a revoked key must be known within a second of its return."""


class Control(Protocol):
    """The control plane as the gateway sees it. All methods raise AicpError."""

    async def routes(self, etag: str = "", *, wait_seconds: float = 30.0) -> RouteTable | None:
        """The table, or None when it still is the one of `etag`."""
        ...

    async def heartbeat(
        self,
        gateway_id: str,
        etag: str,
        inflight: Mapping[str, int],
        started_at: datetime | None = None,
        facts: Mapping[str, Any] | None = None,
        live: LiveReport | None = None,
    ) -> Watched:
        """Table in use, requests in flight, what else `facts` says of the process, and the present as far as somebody
        looks at it; what that is."""
        ...


class Following:
    """Keeps `routes` up to date and control informed."""

    def __init__(
        self,
        routes: Routes,
        control: Control,
        gateway_id: str,
        clock: Clock,
        report: Callable[[Watched], LiveReport] | None = None,
        facts: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._routes, self._control, self._gateway_id, self._clock = routes, control, gateway_id, clock
        self._report, self._facts = report, facts
        self._started_at = clock.now()
        self._changed = asyncio.Event()
        self._unsaved: RouteTable | None = None
        self._to_save = asyncio.Event()
        self.kept = True
        """Whether the table in use was written to disk, as far as that was tried."""
        self.heard_at = clock.monotonic()
        """When control last answered, monotonic."""

    async def first(self) -> None:
        """Takes the table of now, so that a process that takes over begins with it. Raises AicpError or ValueError."""
        table = await self._control.routes(self._routes.etag, wait_seconds=0)
        if table is not None:
            self._take(table)

    async def follow(self) -> None:
        """Waits for one table after the other for ever."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                table = await self._control.routes(self._routes.etag, wait_seconds=_WAIT_SECONDS)
                self.heard_at = self._clock.monotonic()
                if table is not None:
                    self._take(table)
                pause = _FIRST_PAUSE_SECONDS
            except (AicpError, ValueError) as error:
                if pause == _FIRST_PAUSE_SECONDS:
                    log.warning("serving from the last route table: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def beat(self) -> None:
        """Tells control once a second, and at once after a new table, or when somebody begins to look."""
        watched = NOBODY
        while True:
            self._changed.clear()
            shown = watched
            try:
                watched = await self._tell(shown)
                self.heard_at = self._clock.monotonic()
            except AicpError as error:
                watched = NOBODY
                log.debug("no heartbeat: %s", error)
            if watched and watched != shown:
                continue
            try:
                async with asyncio.timeout(_BEAT_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def hurry(self) -> None:
        """Tells control what there is now, and not only within a second."""
        self._changed.set()

    async def _tell(self, watched: Watched) -> Watched:
        routes = self._routes
        live = self._report(watched) if watched and self._report is not None else None
        return await self._control.heartbeat(
            self._gateway_id, routes.etag, routes.inflight(), self._started_at, self._facts(), live
        )

    async def keep(self) -> None:
        """Writes the newest table to disk for the next start. A slow or full disk delays no later table."""
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            table, self._unsaved = self._unsaved, None
            if table is None:
                continue
            try:
                await asyncio.to_thread(self._routes.save, table)
            except OSError as error:
                if self.kept:
                    log.error(
                        "the route table cannot be kept for the next start, which would use an older one: %s", error
                    )
                self.kept = False
                await asyncio.sleep(_SAVE_AGAIN_SECONDS)
                self._save(self._unsaved or table)
            else:
                if not self.kept:
                    log.info("the route table is kept again")
                self.kept = True

    def _take(self, table: RouteTable) -> None:
        self._routes.swap(table)
        self._changed.set()
        self._save(table)

    def _save(self, table: RouteTable) -> None:
        self._unsaved = table
        self._to_save.set()
