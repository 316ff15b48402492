"""Calls of an embedding model that the gateway makes itself, through its own replicas, for a project's cache.

Each is metered like a call of the key whose request needs it, so that its cost is seen; it takes from no limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count

import msgspec

from aicp.gateway.admission import Admission
from aicp.gateway.answer import Answer
from aicp.gateway.api_keys import Key
from aicp.gateway.bodies import encode
from aicp.gateway.cache_index import packed
from aicp.gateway.calls import make_call
from aicp.gateway.endpoints import EMBEDDINGS
from aicp.gateway.errors import ApiError
from aicp.gateway.exchange import Exchange
from aicp.gateway.http import CLIENT_LEFT
from aicp.gateway.meter import Meter
from aicp.gateway.priorities import haste
from aicp.gateway.record import Record
from aicp.gateway.requests import Request
from aicp.gateway.routes import Route, Routes
from aicp.gateway.site import Site

log = logging.getLogger(__name__)

_numbers = count(1)
_LONGEST_NAME = 100
Done = Callable[[list[bytes] | None], None]
"""Gets the packed vectors of the texts, in order; None where there are none."""


class _One(msgspec.Struct, gc=False):
    embedding: list[float]
    index: int = 0


class _Vectors(msgspec.Struct, gc=False):
    data: list[_One]


_vectors = msgspec.json.Decoder(_Vectors).decode


class Desk:
    """Who makes such calls."""

    __slots__ = ("admission", "routes", "site")

    def __init__(self, site: Site, routes: Routes, admission: Admission) -> None:
        self.site, self.routes, self.admission = site, routes, admission

    def embed(self, model: str, key: Key, name: str, texts: Sequence[str], seconds: float, done: Done) -> EmbeddingCall:
        """Asks for vectors of `texts` and calls `done` once, maybe at once, at the latest after `seconds`."""
        call = EmbeddingCall(self.site, len(texts), done)
        try:
            route = self._route(model, key)
            if route is not None:
                call.begin(self, route, key, name, texts, seconds)
                return call
        except (ApiError, OSError) as error:
            log.debug("no vectors of %s for the cache: %s", model, error)
        except Exception:
            log.exception("vectors of %s could not be asked for", model)
        call.give_up()
        return call

    def _route(self, model: str, key: Key) -> Route | None:
        table = self.routes.table
        route = table.of_project(model, key.project) if table is not None else None
        if route is not None and route.arms is not None:
            route = next(iter(route.arms.ways(b"", key.id, self.site.random)), None)
        return route if route is not None and route.replicas else None


class EmbeddingCall:
    """One call under way; it is the client and the witness of its own answer."""

    closing = False
    chunked = True

    def __init__(self, site: Site, count: int, done: Done) -> None:
        self._site, self._count, self._done = site, count, done
        self._parts: list[bytes] = []
        self._good = False
        self._over = False
        self._meter: Meter | None = None
        self._exchange: Exchange | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self, desk: Desk, route: Route, key: Key, name: str, texts: Sequence[str], seconds: float) -> None:
        """Raises ApiError or OSError when it cannot."""
        site, endpoint = self._site, EMBEDDINGS
        fields = {"model": msgspec.Raw(encode(route.public)), "input": msgspec.Raw(encode(list(texts)))}
        request = Request(f"{name[:_LONGEST_NAME]}.e{next(_numbers)}", site.clock.now(), b"POST", b"", {}, old=False)
        record = Record(
            request.id, key.id, key.project, route.service, endpoint.path, stream=False, started_at=request.at
        )
        meter = self._meter = Meter(record, site.log, site.metrics, site.clock, site.clock.monotonic())
        hurry = haste(key.priority, {})
        meter.price, meter.witnesses, meter.priority = route.price, (self,), hurry.of.name
        answer = Answer(self, request)
        answer.witnesses = (self,)
        call = make_call(endpoint, route, fields)
        meter.open()
        exchange = self._exchange = Exchange(site, route, call, meter, answer)
        self._alarm = asyncio.get_running_loop().call_later(seconds, self.give_up)
        try:
            desk.admission.enter(exchange, key, hurry, len(call.body))
        except ApiError as error:
            meter.close("unavailable", error.status)
            raise

    def give_up(self) -> None:
        """Nobody waits for it any more, or it takes too long."""
        if self._over:
            return
        self._tell(None)
        if self._exchange is not None:
            self._exchange.cancel()
        elif self._meter is not None:
            self._meter.close("canceled", CLIENT_LEFT)

    def forget(self) -> None:
        """Ends it without a word: who wanted it has left."""
        self._done = _nobody
        self.give_up()

    def saw(self, content_type: bytes, data: bytes) -> None:
        """Witness: a part of the answer."""
        self._parts.append(data)

    def closed(self, record: Record) -> None:
        """Witness: how it ended."""
        self._good = record.outcome == "ok"

    def ended(self, *, whole: bool) -> None:
        """Witness: the answer is complete, or never will be."""
        self._tell(self._read() if whole and self._good else None)

    def write(self, data: bytes) -> None:
        """Reply: nobody else listens."""

    def done(self) -> None:
        """Reply: nobody else listens."""

    def finish(self, data: bytes) -> None:
        """Reply: nobody else listens."""

    def abort(self) -> None:
        """Reply: nobody else listens."""

    def leave_body(self) -> None:
        """Reply: nobody else listens."""

    def _read(self) -> list[bytes] | None:
        try:
            data = sorted(_vectors(b"".join(self._parts)).data, key=lambda one: one.index)
            vectors = [packed(one.embedding) for one in data]
        except (msgspec.DecodeError, OverflowError, ValueError):
            return None
        return vectors if len(vectors) == self._count and all(vectors) else None

    def _tell(self, vectors: list[bytes] | None) -> None:
        if self._over:
            return
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()
        try:
            self._done(vectors)
        except Exception:
            log.exception("vectors for the cache could not be taken")


def _nobody(vectors: list[bytes] | None) -> None:
    return None
