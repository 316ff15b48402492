"""What processes that ended have left in their places: open records are closed, all is shipped, kept answers go.

A process that takes a place does that for its own. Places that nobody takes again would keep their records and bodies
for ever, and answers of caches that were emptied since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from aicp.core.errors import AicpError
from aicp.gateway.body_segments import BodySegments, holds_bodies
from aicp.gateway.body_shipping import Archive, BodyShipping
from aicp.gateway.cache_file import CACHE_NAME, CacheFile
from aicp.gateway.shipping import Counter, Shipping
from aicp.gateway.slots import Slot, slot_directory, slot_numbers, try_slot
from aicp.gateway.usage import UsageLog, segments

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0


class Keeper(Counter, Archive, Protocol):
    """Who counts usage and keeps bodies."""


class Leftovers:
    """Settles free places beside `slot`. `keeper_of` is who takes the usage and the bodies of a place."""

    def __init__(self, slot: Slot, keeper_of: Callable[[Path], Keeper]) -> None:
        self._slot, self._keeper_of = slot, keeper_of

    async def run(self) -> None:
        """Looks every few seconds, for ever; less often while nobody takes what is shipped."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                await self.settle()
                pause = _FIRST_PAUSE_SECONDS
            except (AicpError, OSError) as error:
                log.debug("what an ended process left waits: %s", error)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def settle(self) -> None:
        """Ships what lies in free places. Raises AicpError or OSError; then it lies there still."""
        home = self._slot.home
        for number in slot_numbers(home):
            if number == self._slot.number or not _holds_something(slot_directory(home, number)):
                continue
            slot = try_slot(home, number)
            if slot is None:  # its process lives
                continue
            try:
                await self._ship(slot)
            finally:
                slot.free()

    async def _ship(self, slot: Slot) -> None:
        directory = slot.directory
        CacheFile(directory / CACHE_NAME).remove()
        records, bodies = _holds_records(directory), holds_bodies(directory)
        if not records and not bodies:
            return
        keeper = self._keeper_of(directory)
        if records:
            await _ship_usage(slot, keeper)
        if bodies:
            await _ship_bodies(slot, keeper)


async def _ship_usage(slot: Slot, keeper: Keeper) -> None:
    usage = UsageLog(slot.directory)
    try:
        shipping = Shipping(slot.directory, usage, slot.gateway_id, keeper)
        await shipping.ship()  # what was sealed
        await shipping.ship()  # what that process had not sealed or closed any more
    finally:
        usage.close()


async def _ship_bodies(slot: Slot, keeper: Keeper) -> None:
    """All of them are sealed, as nobody writes there."""
    segments = BodySegments(slot.directory)
    try:
        await BodyShipping(segments, slot.gateway_id, keeper).ship()
    finally:
        segments.close()


def _holds_something(directory: Path) -> bool:
    return _holds_records(directory) or holds_bodies(directory) or (directory / CACHE_NAME).exists()


def _holds_records(directory: Path) -> bool:
    for _, path in segments(directory):
        with suppress(FileNotFoundError):  # shipped since
            if path.stat().st_size:
                return True
    return False
