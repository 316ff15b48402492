"""Limits as they are kept: only those that are set, so that none is an empty object."""

from __future__ import annotations

from typing import Any

from aicp.core.limits import Limits
from aicp.core.route import LimitsEntry


def stored_limits(limits: Limits) -> dict[str, Any]:
    """What a JSON column keeps."""
    return limits.model_dump(exclude_none=True)


def limits_entry(kept: dict[str, Any]) -> LimitsEntry | None:
    """What gateways need of a kept value; None without any limit."""
    return LimitsEntry(**kept) if kept else None
