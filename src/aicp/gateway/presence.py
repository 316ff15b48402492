"""Which gateway processes of this machine live: each holds a lock on a file of its own, which ends with it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from aicp.core.clock import Clock
from aicp.core.ids import new_id

_LOOK_SECONDS = 0.25
_REMEMBER_SECONDS = 60.0
"""All who hear from an ended process's fellows have heard of its end by then."""


class Presence:
    """`folder` is where the processes that share limits know of each other; `name` is this process's."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._clock = folder, clock
        self.name = new_id("gwp")
        self.living = 1
        """How many processes live here, this one among them."""
        self.ended: dict[str, float] = {}
        """Those that have ended without giving back what they held, and when that was seen."""
        self._looked = float("-inf")
        # it gets its name when it has its lock: nobody may find it without
        hidden = folder / f".{self.name}"
        self._descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        hidden.rename(folder / self.name)
        self.look()

    def look(self) -> None:
        """Looks who lives, not too often."""
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked, self.living = now, 1
        for path in self._folder.glob("gwp_*"):
            if path.name == self.name:
                continue
            if not _ended(path):
                self.living += 1
            elif now - self.ended.setdefault(path.name, now) > _REMEMBER_SECONDS:
                path.unlink(missing_ok=True)
        self.ended = {name: seen for name, seen in self.ended.items() if now - seen < 2 * _REMEMBER_SECONDS}

    def close(self) -> None:
        """This process leaves."""
        (self._folder / self.name).unlink(missing_ok=True)
        os.close(self._descriptor)


def _ended(path: Path) -> bool:
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
    return True
