"""The one place that asks the machine for the time; everything else receives a Clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall time, timezone-aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for durations."""
        ...


class SystemClock:
    """The machine's own clock."""

    # both without a frame of their own: the gateway asks several times a request
    now = staticmethod(partial(datetime.now, UTC))
    monotonic = staticmethod(time.monotonic)
