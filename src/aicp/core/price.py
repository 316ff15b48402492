"""What tokens cost: one price a public model name, in the platform's one currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, Field, PlainSerializer, WithJsonSchema

from aicp.core.money import PLACES
from aicp.core.value import Page, Request, Value

MOST = 10**9
"""A JSON number holds every amount up to this one exactly, with all its digits."""
Money = Annotated[
    Decimal,
    Field(le=MOST, decimal_places=PLACES),
    PlainSerializer(float, return_type=float, when_used="json"),
    WithJsonSchema({"type": "number", "maximum": MOST}),
]
"""An amount of the platform's currency, with at most six digits behind the point; a number in JSON."""
_CACHED = Field(
    default=None,
    ge=0,
    description="price of a million input tokens that the engine had in its cache; None: as other input",
)


class Price(Value):
    """What a model's tokens cost from `set_at` on, a million of each, in the platform's currency."""

    model: str = Field(description="public model name")
    input: Money = Field(ge=0, description="price of a million input tokens")
    cached_input: Money | None = _CACHED
    output: Money = Field(ge=0, description="price of a million output tokens")
    set_at: AwareDatetime
    set_by: str | None = None


class PriceSet(Request):
    """A price. It holds for requests that begin from now on; what was used before keeps its cost."""

    input: Money = Field(ge=0, description="price of a million input tokens")
    cached_input: Money | None = _CACHED
    output: Money = Field(ge=0, description="price of a million output tokens")


class PricePage(Page[Price]):
    """Prices, and the currency that they and all costs and budgets are in."""

    currency: str
