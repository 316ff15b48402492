"""Where a request goes that its destination does not answer: to the next fallback, while its client has nothing."""

from __future__ import annotations

import logging

from aicp.gateway.admission import Admission
from aicp.gateway.api_keys import Key
from aicp.gateway.arms import Arms
from aicp.gateway.bodies import Fields
from aicp.gateway.budgets import Budgets, Purchase
from aicp.gateway.calls import estimate, make_call
from aicp.gateway.endpoints import Endpoint
from aicp.gateway.errors import ApiError
from aicp.gateway.exchange import Exchange
from aicp.gateway.forms import Form
from aicp.gateway.meter import Meter
from aicp.gateway.priorities import Haste
from aicp.gateway.prompts import read_prompt, session_of
from aicp.gateway.requests import Request
from aicp.gateway.routes import Route
from aicp.gateway.site import Site

log = logging.getLogger(__name__)


class Detour:
    """The ways of one request; `first` is where it begins. `fields` is its body before it is made ready for there."""

    __slots__ = ("_budgets", "_endpoint", "_fields", "_key", "_request", "_site", "_ways", "first", "meter")

    def __init__(
        self,
        arms: Arms[Route],
        site: Site,
        budgets: Budgets,
        request: Request,
        endpoint: Endpoint,
        key: Key,
        fields: Fields,
    ) -> None:
        self._site, self._budgets = site, budgets
        self._request, self._endpoint, self._key = request, endpoint, key
        self._fields = copy_of(fields)
        self.meter: Meter | None = None
        """Counts the request, once it is let in."""
        self.first, *self._ways = arms.ways(session_of(fields, request.headers), key.id, site.random)

    def begin(self, admission: Admission, exchange: Exchange, haste: Haste, size: int) -> None:
        """Lets the request in, here or further on. Raises ApiError when it had better not wait anywhere."""

        def take(error: ApiError) -> bool:
            try:
                return self._take(admission, exchange, haste, error)
            except Exception:  # its client still gets the error that made it look for another way
                log.exception("another way could not be tried")
                return False

        exchange.detour = take
        try:
            admission.enter(exchange, self._key, haste, size)
        except ApiError as error:
            if not take(error):
                raise

    def _take(self, admission: Admission, exchange: Exchange, haste: Haste, error: ApiError) -> bool:
        """Sends the request another way, now or when its turn there comes; False: `error` is the client's."""
        while self._ways and (error.status >= 500 or error.status == 429):
            route, fields = self._ways.pop(0), copy_of(self._fields)
            try:
                call = make_call(self._endpoint, route, fields, self._request.headers)
                tokens = estimate(call, fields)
                prompt = read_prompt(route, self._key.project, fields, self._request.headers, call)
                purchase = self._buy(route, tokens)
                exchange.turn(route, call, prompt, purchase)
                admission.enter(exchange, self._key, haste, len(call.body))
            except ApiError:  # it does not serve this endpoint, costs too much, or is busy, too
                continue
            self._site.metrics.fallbacks += 1
            return True
        return False

    def _buy(self, route: Route, tokens: tuple[int, int]) -> Purchase | None:
        """Reserves for another way instead of the one before. Raises ApiError and leaves all as it was."""
        held = None if self.meter is None else self.meter.purchase
        if held is not None:
            held.give_back()
        try:
            return self._budgets.buy(self._key.purses, route.price, tokens, self._request.at)
        except ApiError:
            if held is not None:
                held.take_back()
            raise


def copy_of(fields: Fields) -> Fields:
    """What a call may change; a form stays as it came."""
    return fields if isinstance(fields, Form) else dict(fields)
