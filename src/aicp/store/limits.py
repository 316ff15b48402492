"""Limits as they are kept: only those that are set, so that none is an empty object."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aicp.core.limits import Limits
from aicp.core.money import to_micros
from aicp.core.route import LimitsEntry

_BUDGETS = ("budget_per_day", "budget_per_month")


def stored_limits(limits: Limits) -> dict[str, Any]:
    """What a JSON column keeps."""
    return limits.model_dump(mode="json", exclude_none=True)


def limits_entry(kept: dict[str, Any]) -> LimitsEntry | None:
    """What gateways need of a kept value; None without any limit."""
    money = {name: to_micros(Decimal(str(kept[name]))) for name in _BUDGETS if name in kept}
    return LimitsEntry(**kept | money) if kept else None
