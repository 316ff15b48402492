"""Prices of models' tokens."""

from __future__ import annotations

from decimal import Decimal

from aicp.client.transport import Transport
from aicp.core.price import Price, PricePage, PriceSet


class Prices:
    """One price a public model name, a million tokens, in the platform's currency."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, search: str | None = None) -> list[Price]:
        """Prices of models that the caller's projects may use, by model."""
        return self._transport.every("/api/v1/prices", Price, {"search": search})

    def currency(self) -> str:
        """What all prices, costs and budgets are in."""
        return self._transport.get("/api/v1/prices", PricePage, {"limit": 1}).currency

    def set(self, model: str, *, input: Decimal, output: Decimal, cached_input: Decimal | None = None) -> Price:
        """Sets what a model's tokens cost from now on; None: cached input costs as much as other input."""
        body = PriceSet(input=input, output=output, cached_input=cached_input)
        answer = self._transport.send("PUT", f"/api/v1/prices/{model}", body=body)
        return Price.model_validate_json(answer.content)

    def delete(self, model: str) -> None:
        """Takes a model's price away; its requests cost nothing from now on."""
        self._transport.delete(f"/api/v1/prices/{model}")
