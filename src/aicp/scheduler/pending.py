"""What waits for a place."""

from __future__ import annotations

from dataclasses import dataclass

from aicp.scheduler.resources import Requirement


@dataclass(frozen=True, slots=True)
class Pending:
    """A replica that waits for a place."""

    id: str
    service: str
    need: Requirement
