"""What a request costs, in millionths of the currency."""

from __future__ import annotations

from aicp.core.route import PriceEntry

_MILLION = 1_000_000


def cost_of(price: PriceEntry, prompt: int, cached: int, output: int) -> int:
    """To the nearest millionth; `cached` is the part of `prompt` that the engine had in its cache."""
    cached = min(cached, prompt)
    whole = (prompt - cached) * price.input + cached * price.cached_input + output * price.output
    return (whole + _MILLION // 2) // _MILLION
