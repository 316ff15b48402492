"""Usage on its way to the control plane: sealed segments, oldest first, each until it is accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from aicp.core.errors import AicpError
from aicp.gateway.usage import UsageLog, closed_records, segments, sync

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
REFUSED_FOR_GOOD = frozenset({400, 409, 413, 422})
"""Answers to a batch that will never be another."""


class Counter(Protocol):
    """Who counts usage."""

    async def usage(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        """Counts a batch once. Raises AicpError."""
        ...


async def keep_shipping(ship: Callable[[], Awaitable[None]], trouble: str, longest_pause_seconds: float) -> None:
    """Calls `ship` every second for ever, and less often while it fails, of which the log is told once."""
    pause = _EVERY_SECONDS
    while True:
        await asyncio.sleep(pause)
        try:
            await ship()
            pause = _EVERY_SECONDS
        except (AicpError, OSError) as error:
            if pause == _EVERY_SECONDS:
                log.warning("%s: %s", trouble, error)
            pause = min(pause * 2, longest_pause_seconds)


class Shipping:
    """Ships what `usage` has sealed. `needed` says of a shipped segment that it must stay for now."""

    def __init__(
        self,
        directory: Path,
        usage: UsageLog,
        gateway_id: str,
        control: Counter,
        needed: Callable[[int], bool] = lambda number: False,
    ) -> None:
        self._directory, self._usage, self._gateway_id, self._control = directory, usage, gateway_id, control
        self._needed = needed
        self._accepted: set[int] = set()
        """Segments that were counted and are still needed here."""

    async def run(self) -> None:
        """Seals and ships for ever."""
        await keep_shipping(self.ship, "usage waits on disk until it can be counted", _LONGEST_PAUSE_SECONDS)

    async def keep_on_disk(self) -> None:
        """Once a second: room is looked for again after a full disk, and what was written is forced to the disk."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            usage = self._usage
            if usage.problem is not None and usage.recover():
                log.info("usage can be recorded again")
            descriptors = usage.unsynced()
            if descriptors:
                try:
                    await asyncio.to_thread(sync, descriptors, self._directory)
                except OSError as error:
                    log.error("the disk does not confirm the usage log: %s", error)

    async def ship(self) -> None:
        """Seals what has ended and ships everything sealed. Raises AicpError or OSError; then it is tried again."""
        if not self.waiting():
            self._usage.seal()
        for number, path in self._sealed():
            if number not in self._accepted and not await self._accept(number, path):
                continue
            self._accepted.add(number)
            if not self._needed(number):
                path.unlink()
                self._accepted.discard(number)

    async def _accept(self, number: int, path: Path) -> bool:
        """Has a segment counted; False when it was refused for good and is put aside."""
        records = closed_records(await asyncio.to_thread(path.read_bytes))
        if records:
            try:
                await self._control.usage(self._gateway_id, number, records)
            except AicpError as error:
                if error.status not in REFUSED_FOR_GOOD:
                    raise
                # one batch that cannot be counted must not hold back all later ones
                log.error("%d usage records were refused and are kept in %s.refused: %s", len(records), path, error)
                path.replace(path.with_suffix(".refused"))
                return False
        return True

    def waiting(self) -> int:
        """Sealed segments that were not shipped yet."""
        return sum(number not in self._accepted for number, _ in self._sealed())

    def _sealed(self) -> list[tuple[int, Path]]:
        return [(number, path) for number, path in segments(self._directory) if number < self._usage.number]
