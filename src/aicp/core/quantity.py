"""Bytes and how people write them."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024**2
GIB = 1024**3

_UNITS = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": 1024**4}
_QUANTITY = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*$", re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """`1.5GiB`, `512m` or `4096` as bytes (units are binary). Raises ValueError on anything else."""
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example 512MiB or 1.5GiB")
    return int(float(match.group(1)) * _UNITS[match.group(2).lower()])


def format_bytes(count: int | float) -> str:
    """Bytes for people, binary units, three significant digits: `1.46 GiB`."""
    value = float(count)
    if abs(value) < KIB:
        return f"{value:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if abs(value) < 1024 or unit == "TiB":
            break
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    digits = f"{value:.{decimals}f}"
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits} {unit}"
