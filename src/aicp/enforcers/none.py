"""Confines nothing, and says so."""

from __future__ import annotations

from aicp.core.launch import Allocation
from aicp.enforcers.base import Applied, Consumption


class NoEnforcer:
    """For replicas that should run without limits, and for machines where nothing can be enforced."""

    def unavailable(self) -> str | None:
        return None

    def apply(self, group: str, allocation: Allocation) -> Applied:
        return Applied(False, "nothing is enforced")

    def usage(self, group: str) -> Consumption:
        return Consumption()

    def pids(self, group: str) -> list[int]:
        return []

    def release(self, group: str) -> bool:
        return True


driver = NoEnforcer()
