"""Ranges of ports as a person writes them."""

from __future__ import annotations

from collections.abc import Iterable

LAST = 65_535


def port_ranges(texts: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """First and last port of each of `5432` and `9000-9099`. Raises ValueError that names what is none."""
    ranges: list[tuple[int, int]] = []
    for text in texts:
        first, dash, last = (part.strip() for part in text.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{text!r} is neither a port nor a range such as 9000-9099")
        one = (int(first), int(last) if dash else int(first))
        if not 1 <= one[0] <= one[1] <= LAST:
            raise ValueError(f"{text!r} is no range of ports from 1 to {LAST}")
        ranges.append(one)
    return tuple(ranges)
