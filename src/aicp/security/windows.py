"""Replaces in a long text piece by piece: others run only between two calls of a regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

WINDOW = 2048
"""Characters; what is slower than usual looks at fewer in one call."""


def replace_in_windows(
    pattern: re.Pattern[str],
    longest: int,
    text: str,
    mask: str,
    fits: Callable[[str], bool] | None = None,
    *,
    window: int = WINDOW,
) -> str:
    """`text` with `mask` for every match, none of which is longer than `longest`, and for which `fits` holds."""
    reach = longest + 2  # what stands beside a match, which anchors look at
    found: list[tuple[int, int]] = []
    place = 0
    while place < len(text):
        border = place + window
        match = pattern.search(text, place, border + reach)
        if match is None or match.start() >= border:
            place = border
            continue
        if fits is None or fits(match[0]):
            found.append(match.span())
        place = match.end()
    if not found:
        return text
    edges = [(0, 0), *found, (len(text), len(text))]
    return mask.join(text[before[1] : after[0]] for before, after in pairwise(edges))
