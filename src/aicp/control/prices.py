"""Prices of models' tokens: seen by those who see usage, set for the whole platform."""

from __future__ import annotations

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.ids import is_name
from aicp.core.model import Visibility
from aicp.core.price import Price, PricePage, PriceSet
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.prices import Prices as StoredPrices
from aicp.store.services import Services

_FIELDS = {"input", "cached_input", "output"}


class Prices:
    """One price a public model name, in `currency`. A change reaches every gateway within a second."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, currency: str) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._currency = currency

    async def list(self, caller: Caller, *, search: str | None = None, offset: int = 0, limit: int = 100) -> PricePage:
        """Prices by model: all of them, or those of services that the caller's projects may use."""
        projects = caller.visible_projects(Permission.USAGE_READ)
        async with self._database.snapshot() as tx:
            models = None if projects is None else await _models_of(tx, projects)
            page = await StoredPrices(tx).list(models=models, search=search, offset=offset, limit=limit)
        return PricePage(**dict(page), currency=self._currency)

    async def set(self, caller: Caller, model: str, wanted: PriceSet) -> Price:
        """Gives a model a price for requests from now on. It may be set before the model is served."""
        caller.require_everywhere(Permission.PRICE_WRITE)
        if not is_name(model):
            raise InvalidError(
                f"{model!r} is no public model name.", hint="Use the name that applications ask for, such as `chat`."
            )
        price = Price(model=model, **dict(wanted), set_at=self._clock.now(), set_by=caller.user)
        async with self._database.transaction() as tx:
            before = await StoredPrices(tx).find(model)
            await StoredPrices(tx).set(price)
            await self._audit(tx, caller, "price.set", model, before, price)
        self._bell.ring("price", model)
        return price

    async def delete(self, caller: Caller, model: str) -> None:
        """Takes a model's price away: its requests cost nothing from now on. Raises NotFoundError."""
        caller.require_everywhere(Permission.PRICE_WRITE)
        async with self._database.transaction() as tx:
            before = await StoredPrices(tx).find(model)
            if before is None:
                raise NotFoundError(f"The model {model!r} has no price.")
            await StoredPrices(tx).delete(model)
            await self._audit(tx, caller, "price.delete", model, before, None)
        self._bell.ring("price", model)

    async def _audit(
        self, tx: Transaction, caller: Caller, action: str, model: str, before: Price | None, after: Price | None
    ) -> None:
        shown = [price.model_dump(mode="json", include=_FIELDS) if price else {} for price in (before, after)]
        details = difference(*shown)
        await Events(tx).audit(caller, self._clock.now(), action, "price", model, message=model, details=details)


async def _models_of(tx: Transaction, projects: frozenset[str]) -> set[str]:
    """Names that the gateway serves to these projects; those of others say what the others have."""
    services = await Services(tx).all()
    return {
        service.name
        for service in services
        if service.project in projects or service.spec.visibility == Visibility.PUBLIC
    }
