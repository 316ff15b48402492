"""A question before anything is bought: how many cards do these services need, whole and cut into slices?"""

from __future__ import annotations

from typing import Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from aicp.core.quantity import GIB, parse_bytes
from aicp.core.value import Request, Value

MOST_SERVICES, MOST_REPLICAS, MOST_CARDS = 100, 500, 16
"""Of one question; with these an answer takes seconds at the most."""


class ServiceNeed(Request):
    """What each replica of one service needs of a card.

    Its compute is either a share (`compute_percent`), of the card `measured_on` where that is named and else of
    whatever card it comes to, or a rate (`tflops`). `whole` gives each replica a card of its own.
    """

    name: str = Field(min_length=1, max_length=100)
    replicas: int = Field(default=1, ge=1, le=MOST_REPLICAS)
    memory_bytes: int = Field(
        gt=0,
        validation_alias=AliasChoices("memory_bytes", "memory"),
        description="of the card, for each replica: bytes or a text such as 2GiB",
    )
    compute_percent: float | None = Field(default=None, gt=0, le=100, description="share of a card, measured busy")
    measured_on: str | None = Field(default=None, description="card of the catalogue that `compute_percent` is of")
    bound_by: str = Field(
        default="compute", pattern="^(compute|bandwidth)$", description="what a share of one card is worth on another"
    )
    tflops: float | None = Field(default=None, gt=0, description="dense 16-bit rate it needs, instead of a share")
    whole: bool = Field(default=False, description="may not share a card")
    spread: bool = Field(default=False, description="each replica on another card")

    @field_validator("memory_bytes", mode="before")
    @classmethod
    def _memory(cls, value: object) -> object:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("measured_on", mode="before")
    @classmethod
    def _card(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value  # YAML reads 4090 as a number

    @model_validator(mode="after")
    def _one_need(self) -> Self:
        given = (self.compute_percent is not None) + (self.tflops is not None)
        if given > 1 or (given == 0 and not self.whole):
            raise ValueError("say compute_percent or tflops, one of them; or whole: true")
        if self.measured_on is not None and self.compute_percent is None:
            raise ValueError("measured_on belongs to compute_percent")
        return self


class CardLimit(Request):
    """A kind of card that may be used, and how many of it there may be."""

    name: str = Field(description="as in the accelerator catalogue")
    at_most: int | None = Field(default=None, ge=1, le=100_000, description="how many of them; None: any number")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"name": str(value)} if isinstance(value, str | int) else value

    @field_validator("name", mode="before")
    @classmethod
    def _name(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value


class AdviceRequest(Request):
    """The services, the cards that they might run on, and what each card keeps back."""

    services: list[ServiceNeed] = Field(min_length=1, max_length=MOST_SERVICES)
    cards: list[CardLimit] = Field(min_length=1, max_length=MOST_CARDS)
    reserve_bytes: int = Field(
        default=GIB,
        ge=0,
        validation_alias=AliasChoices("reserve_bytes", "reserve"),
        description="memory of every card for its driver and contexts",
    )

    @field_validator("reserve_bytes", mode="before")
    @classmethod
    def _reserve(cls, value: object) -> object:
        return parse_bytes(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        names = [service.name for service in self.services]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two services are called {twice[0]}")
        total = sum(service.replicas for service in self.services)
        if total > MOST_REPLICAS:
            raise ValueError(f"{total} replicas together are more than the {MOST_REPLICAS} that are looked at")
        return self


class PackedShare(Value):
    """One replica on one card. `rounding` says what differs from what was needed."""

    service: str
    replica: int = Field(description="1, 2, ... of its service")
    compute_percent: int
    memory_bytes: int
    whole: bool = False
    profile: str | None = None
    rounding: str | None = None


class PackedCard(Value):
    """One card with what lies on it."""

    number: int
    shares: list[PackedShare]
    compute_free_percent: int
    memory_free_bytes: int


class CardAdvice(Value):
    """The answer for one kind of card. Counts are None where the services cannot run on it at all; see `reason`."""

    card: str
    product: str
    memory_bytes: int = Field(description="of one card, less what it keeps back")
    whole_cards: int | None = Field(default=None, description="cards needed when each replica has one of its own")
    sliced_cards: int | None = Field(default=None, description="cards needed when replicas share")
    least_cards: int | None = Field(default=None, description="no packing can need fewer")
    exact: bool = Field(default=False, description="whether it is proven that fewer cards are not enough")
    fits: bool = Field(description="whether the limit on this kind of card is kept")
    mechanism: str | None = Field(default=None, description="how a real card of this kind is cut; None: not at all")
    reason: str = Field(description="the answer in one sentence")
    packing: list[PackedCard] = []
    notes: list[str] = []


class Advice(Value):
    """One answer for each kind of card, in the order they were asked. Everything here is computed, nothing was run."""

    simulated: bool = True
    cards: list[CardAdvice]
    best: str | None = Field(default=None, description="the kind of which the fewest cards are needed")
