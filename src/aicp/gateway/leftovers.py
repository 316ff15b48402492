"""What processes that ended have left in their places: their open records are closed, and all is shipped.

A process that takes a place does that for its own. Places that nobody takes again would keep their records for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aicp.core.errors import AicpError
from aicp.gateway.shipping import Counter, Shipping
from aicp.gateway.slots import Slot, slot_directory, slot_numbers, try_slot
from aicp.gateway.usage import UsageLog, segments

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0


class Leftovers:
    """Settles free places beside `slot`. `counter_of` is who counts the usage of a place."""

    def __init__(self, slot: Slot, counter_of: Callable[[Path], Counter]) -> None:
        self._slot, self._counter_of = slot, counter_of

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
            if number == self._slot.number or not _holds_records(slot_directory(home, number)):
                continue
            slot = try_slot(home, number)
            if slot is None:  # its process lives
                continue
            try:
                await self._ship(slot)
            finally:
                slot.free()

    async def _ship(self, slot: Slot) -> None:
        usage = UsageLog(slot.directory)
        try:
            shipping = Shipping(slot.directory, usage, slot.gateway_id, self._counter_of(slot.directory))
            await shipping.ship()  # what was sealed
            await shipping.ship()  # what that process had not sealed or closed any more
        finally:
            usage.close()


def _holds_records(directory: Path) -> bool:
    for _, path in segments(directory):
        with suppress(FileNotFoundError):  # shipped since
            if path.stat().st_size:
                return True
    return False
