"""What all requests of a gateway share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aicp.core.clock import Clock
from aicp.gateway.config import Limits
from aicp.gateway.metrics import Metrics
from aicp.gateway.outbox import Outbox
from aicp.gateway.usage import UsageLog


@dataclass(frozen=True, slots=True)
class Site:
    """The means of a gateway. `random` gives floats from 0 to 1."""

    log: UsageLog
    metrics: Metrics
    clock: Clock
    random: Callable[[], float]
    limits: Limits
    outbox: Outbox = field(default_factory=Outbox)
