"""How busy one route is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """`places` None: its replicas do not say how much they compute at once, so nobody waits. `waiting` is by class."""

    route: str
    service: str
    places: int | None
    taken: int
    waiting: dict[str, int]
