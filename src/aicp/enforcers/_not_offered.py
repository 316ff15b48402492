"""A mechanism of a vendor that exists and that this platform cannot use for a process of its own, with the reason."""

from __future__ import annotations

from aicp.core.launch import Allocation
from aicp.enforcers.base import Applied, Consumption


class NotOffered:
    """Says what is missing instead of running a command that the vendor's documents do not give.

    A slice that nothing holds to its size would take from its neighbors, so it is refused.
    """

    def __init__(self, missing: str) -> None:
        self._missing = missing

    def unavailable(self) -> str | None:
        return self._missing

    def apply(self, group: str, allocation: Allocation) -> Applied:
        return Applied(False, f"accelerator slices are not enforced: {self._missing}")

    def usage(self, group: str) -> Consumption:
        return Consumption()

    def pids(self, group: str) -> list[int]:
        return []

    def release(self, group: str) -> bool:
        return True
