"""What a gateway tells of the present, while somebody looks. Plain dataclasses, as the route table's are."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LiveSeries:
    """Requests of one service and priority class: those of the last `LiveReport.seconds`, and those under way.

    `ttft` counts times to first token by `LiveReport.bounds`, one more for what lies above the last of them.
    """

    service: str
    priority: str
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    running: int
    waiting: int
    ttft: list[int]


@dataclass(frozen=True, slots=True)
class LiveRoute:
    """How full a route is whose replicas say how much they compute at once."""

    route: str
    service: str
    places: int
    used: int


@dataclass(frozen=True, slots=True)
class LiveUse:
    """What counts against one limit. `shared` is what the store last said of all gateways, so it is the same in each of
    them; `own` is what came on top here, reservations included."""

    shared: int
    own: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What of the present somebody looks at."""

    traffic: bool = False
    scopes: bool = False

    def __bool__(self) -> bool:
        return self.traffic or self.scopes


NOBODY = Watched()


@dataclass(frozen=True, slots=True)
class LiveReport:
    """One gateway. `seconds` is how far back it counts; `bounds` are seconds; `watched` says what is in it.

    `scopes` (`key:<id>`, `project:<name>`, `organization:<name>`) has the use of those that have limits and used
    something, by the limit's name; money is millionths.
    """

    watched: Watched
    seconds: float
    bounds: list[float] = field(default_factory=list[float])
    series: list[LiveSeries] = field(default_factory=list[LiveSeries])
    routes: list[LiveRoute] = field(default_factory=list[LiveRoute])
    scopes: dict[str, dict[str, LiveUse]] = field(default_factory=dict[str, dict[str, LiveUse]])
