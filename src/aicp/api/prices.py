"""Prices of models' tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search
from aicp.api.use_cases import use_case
from aicp.control.prices import Prices
from aicp.core.identity import Permission
from aicp.core.price import Price, PricePage, PriceSet

router = APIRouter(prefix="/api/v1/prices", tags=["prices"])
PricesUse = Annotated[Prices, use_case(Prices)]
_WRITE = [permits(Permission.PRICE_WRITE)]


@router.get("", dependencies=[permits(Permission.USAGE_READ)])
async def list_prices(
    caller: CallerDep, prices: PricesUse, search: Search = None, offset: Offset = 0, limit: Limit = 100
) -> PricePage:
    """Prices of models that the caller's projects may use, by model, and their currency."""
    return await prices.list(caller, search=search, offset=offset, limit=limit)


@router.put("/{model}", dependencies=_WRITE)
async def set_price(model: str, body: PriceSet, caller: CallerDep, prices: PricesUse) -> Price:
    """Sets what a model's tokens cost from now on; what was used before keeps its cost."""
    return await prices.set(caller, model, body)


@router.delete("/{model}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_price(model: str, caller: CallerDep, prices: PricesUse) -> None:
    """Takes a model's price away; its requests cost nothing from now on."""
    await prices.delete(caller, model)
