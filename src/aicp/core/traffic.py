"""What goes on at the gateways at the moment: requests by service and class, and how much of limits is used."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.limits import Priority
from aicp.core.value import Page, Value


class TrafficRow(Value):
    """Requests of one service and priority class. Rates and times are of the last minute."""

    service: str = Field(description="empty for requests that were refused before their model was known")
    project: str | None = Field(default=None, description="the service's; None where the service is gone")
    priority: Priority
    requests_per_second: float
    errors_per_second: float = Field(description="requests that neither were answered nor left by their client")
    prompt_tokens_per_second: float
    completion_tokens_per_second: float
    cached_share: float | None = Field(
        default=None, description="input tokens that engines had in their caches, as a share; None without any input"
    )
    ttft_ms_p50: float | None = Field(default=None, description="time to first token of streams; None without any")
    ttft_ms_p95: float | None = None
    running: int = Field(description="requests that were let in and are not over")
    waiting: int = Field(description="requests that wait for a place")


class TrafficRoute(Value):
    """How full a route is whose replicas say how many requests they compute at once."""

    route: str
    service: str
    places: int
    used: int


class Traffic(Value):
    """All gateways together."""

    at: AwareDatetime
    gateways: int = Field(description="gateways that have told what they do; 0: nothing is known")
    services: list[TrafficRow]
    routes: list[TrafficRoute]


class LimitScope(StrEnum):
    """Whose limits they are."""

    KEY = "key"
    PROJECT = "project"
    ORGANIZATION = "organization"


class UsedLimit(Value):
    """One limit by its name in `Limits`. What is reserved for requests under way counts as used."""

    limit: str
    used: float | None = Field(description="None where no gateway tells it")
    most: float


class LimitUse(Value):
    """The limits of one key, project or organization, and how much of each is used at the moment."""

    scope: LimitScope
    name: str
    id: str = Field(description="a key's id; the name of a project or an organization")
    project: str | None = Field(default=None, description="a key's")
    limits: list[UsedLimit]


class LimitUsePage(Page[LimitUse]):
    """Scopes that have limits, how many gateways were heard, and the currency of budgets."""

    gateways: int
    currency: str
