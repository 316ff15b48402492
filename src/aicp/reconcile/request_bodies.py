"""Deletes bodies of requests when their retention ends, a few at a time, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from aicp.core.clock import Clock
from aicp.core.errors import AicpError
from aicp.store.database import Database
from aicp.store.request_bodies import RequestBodies
from aicp.store.request_log import RequestLogRules

log = logging.getLogger(__name__)

_EVERY_SECONDS = 300.0
_AT_ONCE = 500
_BETWEEN_SECONDS = 0.05


class Retention:
    """One pass every five minutes: what its project's rule keeps no longer, and all of projects without one."""

    def __init__(self, database: Database, clock: Clock, *, at_once: int = _AT_ONCE) -> None:
        self._database = database
        self._clock = clock
        self._at_once = at_once

    async def run(self) -> None:
        """Works until canceled."""
        while True:
            try:
                await self.once()
            except AicpError as error:  # a database that is away ends nothing; the next pass comes
                log.warning("no bodies of requests were deleted this time: %s", error)
            await asyncio.sleep(_EVERY_SECONDS)

    async def once(self) -> int:
        """One pass; how many requests' bodies are gone."""
        async with self._database.snapshot() as tx:
            days = await RequestLogRules(tx).retention()
        gone = 0
        for project in [*days, None]:
            while True:
                deleted = await self._delete(project, days)
                gone += deleted
                if deleted < self._at_once:
                    break
                await asyncio.sleep(_BETWEEN_SECONDS)
        return gone

    async def _delete(self, project: str | None, days: dict[str, int]) -> int:
        async with self._database.transaction() as tx:
            bodies = RequestBodies(tx)
            if project is None:
                return await bodies.forget_others(await RequestLogRules(tx).retention(), self._at_once)
            before = self._clock.now() - timedelta(days=days[project])
            return await bodies.expire(project, before, self._at_once)
