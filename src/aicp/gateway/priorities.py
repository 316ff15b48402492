"""Priority classes, and what a request says of its own haste."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from aicp.gateway.errors import invalid

_PRIORITY_HEADER: Final = b"x-priority"
_SLO_HEADER: Final = b"x-slo-ttft-ms"
_LONGEST_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class PriorityClass:
    """`rank` 0 is served first. Times are seconds."""

    rank: int
    name: str
    reserved: float
    """Share of a route's places that lower classes leave free, as long as the class is in use."""
    most_waiting: int
    """Requests that may wait at one route."""
    patience: float
    """How long a request may wait when it does not say so itself."""
    starving: float
    """When requests wait and none of the class was served for so long, one of them gets the next place."""


CLASSES = (
    PriorityClass(0, "critical", 0.10, 256, 60.0, inf),
    PriorityClass(1, "interactive", 0.20, 512, 60.0, 5.0),
    PriorityClass(2, "default", 0.10, 1024, 120.0, 20.0),
    PriorityClass(3, "batch", 0.0, 2048, 1800.0, 120.0),
)
"""Highest first. The shares make less than a whole: what waits always has a place that it can get."""
NAMES: Final = tuple(item.name for item in CLASSES)
_BY_HEADER: Final = {item.name.encode(): item for item in CLASSES}


@dataclass(frozen=True, slots=True)
class Haste:
    """The class of a request, and how many seconds it may wait; `asked` says that its caller chose them."""

    of: PriorityClass
    patience: float
    asked: bool = False


_USUAL: Final = {item.name: Haste(item, item.patience) for item in CLASSES}


def haste(priority: str, headers: Mapping[bytes, bytes]) -> Haste:
    """What a key's priority and a request's headers make of it. Raises ApiError 400 for a header that is wrong.

    `x-priority` lowers the class and never raises it; `x-slo-ttft-ms` is the longest wait in milliseconds.
    """
    wanted, slo = headers.get(_PRIORITY_HEADER), headers.get(_SLO_HEADER)
    usual = _USUAL.get(priority) or _USUAL["default"]
    if wanted is None and slo is None:
        return usual
    of = usual.of
    if wanted is not None:
        named = _BY_HEADER.get(wanted.strip().lower())
        if named is None:
            message = f"The header x-priority is one of {', '.join(NAMES)}; one above the key's changes nothing."
            raise invalid(message, param="x-priority", code="invalid_value")
        of = max(of, named, key=lambda item: item.rank)
    if slo is None:
        return _USUAL[of.name]
    if not slo.isdigit() or len(slo) > len(str(_LONGEST_MS)) or not 0 < int(slo) <= _LONGEST_MS:
        message = f"The header x-slo-ttft-ms is a whole number of milliseconds from 1 to {_LONGEST_MS}."
        raise invalid(message, param="x-slo-ttft-ms", code="invalid_value")
    return Haste(of, int(slo) / 1000, asked=True)
