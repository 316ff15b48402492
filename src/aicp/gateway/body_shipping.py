"""Kept bodies on their way to the control plane: sealed segments, oldest first, each until it is accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from aicp.core.errors import AicpError
from aicp.gateway.body_segments import BodySegments
from aicp.gateway.shipping import REFUSED_FOR_GOOD, keep_shipping

log = logging.getLogger(__name__)

_LONGEST_PAUSE_SECONDS = 30.0


class Archive(Protocol):
    """Who keeps bodies."""

    async def bodies(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        """Keeps a batch, once however often it comes. Raises AicpError."""
        ...


class BodyShipping:
    """Ships what `segments` hold."""

    def __init__(self, segments: BodySegments, gateway_id: str, control: Archive) -> None:
        self._segments, self._gateway_id, self._control = segments, gateway_id, control
        self.refused = 0
        """Bodies that were refused for good and are dropped."""

    async def run(self) -> None:
        """Ships for ever."""
        trouble = "bodies of requests wait on disk until they can be kept"
        await keep_shipping(self.ship, trouble, _LONGEST_PAUSE_SECONDS)

    async def ship(self) -> None:
        """Ships what was written so far. Raises AicpError or OSError; then it is tried again."""
        waiting = self._segments.sealed()
        if not waiting:
            await asyncio.to_thread(self._segments.seal)
            waiting = self._segments.sealed()
        for number, path in waiting:
            lines = await asyncio.to_thread(self._segments.lines, path)
            if lines:
                await self._send(number, lines)
            await asyncio.to_thread(self._segments.done, number)

    async def _send(self, number: int, lines: list[bytes]) -> None:
        try:
            await self._control.bodies(self._gateway_id, number, lines)
        except AicpError as error:
            if error.status not in REFUSED_FOR_GOOD:
                raise
            self.refused += len(lines)
            log.error("bodies of %d requests were refused and are dropped: %s", len(lines), error)
