"""Amounts of money. They are counted in millionths of the platform's currency, so that sums are exact."""

from __future__ import annotations

from decimal import Decimal

PLACES = 6
"""Digits behind the point that an amount may have."""
_MICROS = 10**PLACES
_SHOWN_PLACES = 2


def to_micros(amount: Decimal) -> int:
    """An amount of the currency in millionths; digits behind the sixth are cut off."""
    return int(amount * _MICROS)


def amount_text(micros: int) -> str:
    """Millionths as people write them, such as `12.50`: two digits behind the point, more where they say more."""
    whole, rest = divmod(micros, _MICROS)
    digits = f"{rest:0{PLACES}}".rstrip("0").ljust(_SHOWN_PLACES, "0")
    return f"{whole}.{digits}"


def money_text(micros: int, currency: str) -> str:
    """The same with the currency, such as `12.50 USD`."""
    return f"{amount_text(micros)} {currency}"
