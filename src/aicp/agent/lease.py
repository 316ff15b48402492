"""For how long a joined node may serve without hearing from the control plane.

Each call of the control plane renews the lease. A node whose lease has run out stops its engines: others have taken
their place, and two of a kind must not go on where nobody can tell them apart. An agent that is started again goes on
with the lease of the one before, so that no restart makes it longer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aicp.agent.replicas import Replicas

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
REASON = "The control plane was silent for longer than this node may serve without it, so the engine was stopped."


def since_boot() -> float:
    """Seconds since the machine was started, those that it slept among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Kept in `file`; `now` counts seconds and belongs to one boot of the machine."""

    def __init__(self, file: Path, now: Callable[[], float] = since_boot, boot_id: str | None = None) -> None:
        self._file = file
        self._now = now
        self._boot_id = boot_id if boot_id is not None else _BOOT_ID.read_text().strip()
        self._ends = self._kept = self._read()
        self._renewed = asyncio.Event()
        self.adopted = False
        """Whether the agent knows what runs here and can answer for it."""

    def held(self) -> bool:
        """Whether engines may run."""
        return self._now() < self._ends

    def renew(self, seconds: float) -> None:
        """Holds for `seconds` from now on, and never shorter than it did."""
        self._ends = max(self._ends, self._now() + seconds)
        self._renewed.set()
        if self._ends - self._kept > seconds / 20:  # what is kept may be a little early, never late
            self._kept = self._ends
            unfinished = self._file.with_suffix(".new")
            with suppress(OSError):
                unfinished.write_text(json.dumps({"boot_id": self._boot_id, "ends": self._ends}))
                unfinished.replace(self._file)

    async def wait(self, seconds: float) -> bool:
        """Whether it is held, for which a while is waited."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.held():
                    self._renewed.clear()
                    await self._renewed.wait()
        return self.held()

    def _read(self) -> float:
        try:
            kept = json.loads(self._file.read_text())
            return float(kept["ends"]) if kept["boot_id"] == self._boot_id else 0.0
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0


async def keep_fence(lease: Lease, replicas: Replicas) -> None:
    """Stops this node's engines whenever the lease runs out; until canceled."""
    while True:
        if not lease.held() and replicas.launches():
            log.warning("the control plane has been silent for too long; the engines of this node are stopped")
            await replicas.fence(REASON)
        await asyncio.sleep(_LOOK_SECONDS)
