"""Routes: public model names that lead to several destinations, by weight and in case one does not answer.

Every service has a route of its own name without being asked; these stand beside it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, Field, model_validator

from aicp.core.ids import NAME_PATTERN
from aicp.core.model import Visibility
from aicp.core.value import Request, Value

_ARMS = Field(min_length=1, max_length=20, description="destinations that share the requests")
_FALLBACKS = Field(default=[], max_length=20, description="tried in this order where the chosen one does not answer")


class Sticky(StrEnum):
    """What stays at one destination: a session (`x-session-id`, `prompt_cache_key`), or else all requests of a key."""

    SESSION = "session"
    KEY = "key"


class Destination(Request):
    """A service, or one model of an outside provider."""

    service: str | None = Field(default=None, min_length=1, max_length=63)
    provider: str | None = Field(default=None, min_length=1, max_length=63)
    model: str | None = Field(default=None, min_length=1, max_length=200, description="what the provider calls it")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.service is None) == (self.provider is None) or (self.provider is None) != (self.model is None):
            raise ValueError("a destination is either a `service`, or a `provider` with a `model`")
        return self

    @property
    def label(self) -> str:
        """The service's name, or `provider:model`; no service has a name with a colon."""
        return self.service or f"{self.provider}:{self.model}"


class Arm(Destination):
    """A destination with its share of the requests."""

    weight: int = Field(default=1, ge=0, le=1000, description="share of the requests; 0: none")


class Route(Value):
    """A public model name with its destinations. `ready` are those that could answer now."""

    id: str
    name: str
    project: str
    visibility: Visibility
    description: str = ""
    arms: list[Arm]
    fallbacks: list[Destination] = []
    sticky: Sticky = Sticky.SESSION
    ready: list[str] = Field(default=[], description="service names, and provider:model")
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @property
    def destinations(self) -> list[Destination]:
        """All of them: arms, then fallbacks."""
        return [*self.arms, *self.fallbacks]


class RouteCreate(Request):
    """A new route."""

    name: str = Field(pattern=NAME_PATTERN)
    project: str = "default"
    visibility: Visibility = Visibility.PUBLIC
    description: str = Field(default="", max_length=2000)
    arms: list[Arm] = _ARMS
    fallbacks: list[Destination] = _FALLBACKS
    sticky: Sticky = Sticky.SESSION


class RouteUpdate(Request):
    """What may change on a route, each only when given; name and project never do."""

    visibility: Visibility | None = None
    description: str | None = Field(default=None, max_length=2000)
    arms: list[Arm] | None = Field(default=None, min_length=1, max_length=20, description="all of them anew")
    fallbacks: list[Destination] | None = Field(default=None, max_length=20, description="all of them anew")
    sticky: Sticky | None = None
