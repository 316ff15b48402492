"""The gateway itself: who may ask for what, and what becomes of it. Knows nothing of sockets."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from aicp.gateway import http
from aicp.gateway.accounts import limit_headers
from aicp.gateway.admission import Admission
from aicp.gateway.answer import Answer, Reply
from aicp.gateway.api_keys import Key, Seen, presented_key
from aicp.gateway.bodies import Fields, encode, read_fields, text_field
from aicp.gateway.cache_calls import Desk
from aicp.gateway.cache_lookup import Lookup, Seeking, look_up
from aicp.gateway.calls import Call, estimate, make_call
from aicp.gateway.detours import Detour
from aicp.gateway.endpoints import MESSAGES, Endpoint, Work, find_endpoint, origin_form
from aicp.gateway.errors import ApiError, unavailable, unknown_model, wrong_key, wrong_network
from aicp.gateway.exchange import Exchange
from aicp.gateway.exposition import exposition
from aicp.gateway.forms import check_form, read_upload
from aicp.gateway.key_rules import apply_rules
from aicp.gateway.links import LinkedMedia
from aicp.gateway.media import Fetcher
from aicp.gateway.meter import Meter
from aicp.gateway.own_listeners import model_here, only_here
from aicp.gateway.priorities import Haste, haste
from aicp.gateway.prompts import read_prompt
from aicp.gateway.record import Record
from aicp.gateway.relay import Relay, Relaying, refuse_unread, relay
from aicp.gateway.request_log import RequestLog
from aicp.gateway.requests import Request, RequestIds
from aicp.gateway.routes import Route, Routes, not_ready
from aicp.gateway.shortage import Shortage
from aicp.gateway.site import Site
from aicp.gateway.sleepers import Sleepers
from aicp.gateway.traces import PARENT, passed_on
from aicp.gateway.tracing import Tracer
from aicp.gateway.waiting import Waiting, fetched, supplied

_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = b"application/json"
_JSON_TYPES = (_JSON, b"text/json")
Job = Exchange | Waiting | Relaying | Seeking
"""A request under way, as its connection sees it."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Serves requests from the table of `routes`. `gauges` gives values for /metrics by name.

    Without a `fetcher` media must come within the requests.
    """

    site: Site
    routes: Routes
    admission: Admission
    internal_token: str
    gauges: Callable[[], dict[str, float]]
    ids: RequestIds
    fetcher: Fetcher | None = None
    relay: Relay | None = None
    """To the control plane; a gateway that stands alone has none."""
    tracer: Tracer | None = None
    """Where traces are kept of requests."""
    request_log: RequestLog | None = None
    """Keeps bodies of requests whose project wants that."""
    only: str | None = None
    """The one model that is served, where a request came in at its own listener."""
    sleepers: Sleepers | None = None
    """Holds requests to services that sleep; without it they are answered 503."""

    def request(self, method: bytes, path: bytes, headers: dict[bytes, bytes], *, old: bool = False) -> Request:
        """A request whose head has come, with an id of its own."""
        path = origin_form(path)
        return Request(
            self.ids.new(headers.get(b"x-request-id")), self.site.clock.now(), method, path, headers, old=old
        )

    def admit(self, request: Request, seen: Seen | None = None, *, local: bool, address: str = "") -> None:
        """Judges a request by its head; sets its endpoint and key, or its refusal.

        `local`: it comes from here; `address` is its client's, empty for a socket without one;
        `seen` its connection's.
        """
        try:
            request.endpoint = endpoint = find_endpoint(request.method, request.path)
            request.dialect = endpoint.dialect
            if endpoint.work is Work.CALL:
                request.key = self._check_key(request, address, seen)
                (check_form if endpoint.form else _check_kind)(request)
            elif endpoint.work in (Work.MODELS, Work.RELAY):
                request.key = self._check_key(request, address, seen)
            elif endpoint.work is Work.METRICS:
                self._check_internal(request, local)
        except ApiError as error:
            request.refusal = error
            if request.endpoint is None and request.path.startswith(MESSAGES.path.encode()):
                request.dialect = MESSAGES.dialect

    def begin(self, request: Request, reply: Reply) -> Job | None:
        """Serves a request that has arrived; None when it is answered already."""
        answer = Answer(reply, request)
        self._check_again(request)
        endpoint, key = request.endpoint, request.key
        if request.refusal is not None or endpoint is None:
            self._refuse(request, answer, request.refusal or wrong_key())
        elif key is not None and endpoint.work is Work.CALL:
            return self._call(request, endpoint, key, answer)
        elif key is not None and endpoint.work is Work.RELAY:
            if self.only is not None:
                refuse_unread(request, answer, only_here(self.only))
                return None
            return relay(self.relay, request, key, answer)
        elif endpoint.work is Work.HEALTH:
            answer.whole(b'{"status":"ok"}')
        elif endpoint.work is Work.METRICS:
            metrics = self.site.metrics
            loads, more = self.admission.loads(), self.routes.caches.samples()
            answer.whole(exposition(metrics, loads, self.routes.inflight(), self.gauges(), more), _METRICS)
        elif key is not None:
            self._models(request, key, answer)
        return None

    def _call(self, request: Request, endpoint: Endpoint, key: Key, answer: Answer) -> Job | None:
        record = self._record(request, key, endpoint)
        meter = self._meter(request, key, record, answer)
        try:
            return self._let_in(request, endpoint, key, record, meter, answer)
        except ApiError as error:
            if self.fetcher is not None and isinstance(error, LinkedMedia):
                go_on = partial(self._filled, request, endpoint, record, meter, answer)
                return Waiting(partial(fetched, self.fetcher, error, key.id, go_on), answer, meter)
            if isinstance(error, Shortage) and error.go_on is not None:
                return Waiting(partial(supplied, error), answer, meter)
            meter.close("rejected" if error.status < 500 else "unavailable", error.status)
            answer.error(error)
            return None
        except Exception:
            meter.close("engine_error", 500)
            raise

    def _filled(
        self, request: Request, endpoint: Endpoint, record: Record, meter: Meter, answer: Answer, body: bytes
    ) -> Exchange | Seeking | None:
        """The same request once its media are in its body; its key may have been revoked meanwhile. Raises ApiError."""
        request.parts = [body]
        return self._anew(request, endpoint, record, meter, answer)

    def _anew(
        self, request: Request, endpoint: Endpoint, record: Record, meter: Meter, answer: Answer
    ) -> Exchange | Seeking | None:
        """Lets a request in that has waited, as if it came now. Raises ApiError."""
        self._check_again(request)
        if request.refusal is not None or request.key is None:
            raise request.refusal or wrong_key()
        return self._let_in(request, endpoint, request.key, record, meter, answer)

    def _let_in(
        self, request: Request, endpoint: Endpoint, key: Key, record: Record, meter: Meter, answer: Answer
    ) -> Exchange | Seeking | None:
        """All that can be refused, then its record is opened, then it begins or waits. Raises ApiError.

        None when a cache has answered it.
        """
        hurry = haste(key.priority, request.headers)
        meter.priority = hurry.of.name
        parts = request.parts
        text = b"" if endpoint.form else request.body()
        fields = read_upload(request) if endpoint.form else read_fields(text)
        name = text_field(fields, "model") if self.only is None else model_here(self.only, fields)
        if meter.trace is not None:
            meter.trace.named(name)
        table = self.routes.table
        route = table.find(name, key) if table is not None else None
        if route is None:
            raise unknown_model(name)
        if key.defaults or key.max_output_tokens is not None:
            apply_rules(key, endpoint, fields)
            text = b""  # it is not what they say any more
        lookup = look_up(key.caches, name, endpoint, fields, request.headers) if key.caches else None
        detour = None
        if route.arms is not None:
            detour = Detour(route.arms, self.site, self.routes.budgets, request, endpoint, key, fields)
            route = detour.first
        record.service, meter.price = route.service, route.price
        call = make_call(endpoint, route, fields, request.headers, text if self.only is None else b"")
        record.stream = call.stream
        if not route.replicas:
            if self.sleepers is None:
                raise not_ready(route)
            request.parts = parts
            again = partial(self._anew, request, endpoint, record, meter, answer)
            raise self.sleepers.refuse_or_hold(route, key, hurry.patience, sum(map(len, parts)), again)
        try:
            return self._take(request, key, hurry, route, detour, call, fields, lookup, record, meter, answer)
        except Shortage as shortage:
            again = partial(self._take, request, key, hurry, route, detour, call, fields, lookup, record, meter, answer)
            shortage.go_on = partial(self._still, request, route, again)
            raise

    def _take(
        self,
        request: Request,
        key: Key,
        hurry: Haste,
        route: Route,
        detour: Detour | None,
        call: Call,
        fields: Fields,
        lookup: Lookup | None,
        record: Record,
        meter: Meter,
        answer: Answer,
    ) -> Exchange | Seeking | None:
        """Takes what the request needs of limits and budgets; then it begins. Raises ApiError."""
        if key.purses and meter.purchase is None:
            meter.purchase = self.routes.budgets.buy(key.purses, route.price, estimate(call, fields), request.at)
        if key.accounts:
            self._reserve(key, request, call, fields, meter, answer)
        try:
            meter.open()
        except OSError as error:
            raise _cannot_record(error) from error
        prompt = read_prompt(route, key.project, fields, request.headers, call)
        exchange = Exchange(self.site, route, call, meter, answer, prompt)
        if detour is not None:
            detour.meter = meter
        if lookup is not None:
            send = partial(self._send, exchange, key, hurry, len(call.body), detour)
            go_on = partial(self._still, request, route, send)
            desk = Desk(self.site, self.routes, self.admission)
            return lookup.answer(desk, key, record, meter, answer, exchange, go_on)
        self._send(exchange, key, hurry, len(call.body), detour)
        return exchange

    def _still(self, request: Request, route: Route, go_on: Callable[[], Any]) -> Any:
        """Goes on with a request that has waited, if its key may still be served there. Raises ApiError."""
        self._check_again(request)
        if request.refusal is not None or request.key is None:
            raise request.refusal or wrong_key()
        table = self.routes.table
        if table is None or table.again(route, request.key) is None:
            raise unknown_model(route.public)
        return go_on()

    def _send(self, exchange: Exchange, key: Key, hurry: Haste, size: int, detour: Detour | None) -> None:
        """Lets a request begin, now or when its turn comes. Raises ApiError."""
        if detour is None:
            self.admission.enter(exchange, key, hurry, size)
        else:
            detour.begin(self.admission, exchange, hurry, size)

    def _reserve(self, key: Key, request: Request, call: Call, fields: Fields, meter: Meter, answer: Answer) -> None:
        """Takes from the limits that the request falls under. Raises ApiError 429."""
        try:
            prompt, output = estimate(call, fields)
            meter.grant = self.routes.accounts.reserve(key.accounts, prompt, output, meter.began, request.at)
        finally:
            answer.more = limit_headers(key.accounts, meter.began)

    def _refuse(self, request: Request, answer: Answer, error: ApiError) -> None:
        endpoint = request.endpoint
        key = request.key
        if key is not None and endpoint is not None and endpoint.work is Work.CALL:
            meter = self._meter(request, key, self._record(request, key, endpoint), answer)
            meter.close("rejected", error.status)
        refuse_unread(request, answer, error)

    def _record(self, request: Request, key: Key, endpoint: Endpoint) -> Record:
        return Record(request.id, key.id, key.project, "", endpoint.path, stream=False, started_at=request.at)

    def _meter(self, request: Request, key: Key, record: Record, answer: Answer) -> Meter:
        site = self.site
        meter = Meter(record, site.log, site.metrics, site.clock, site.clock.monotonic())
        meter.priority = key.priority
        if self.tracer is not None:
            meter.trace = self.tracer.begin(request.headers)
        elif PARENT in request.headers:
            meter.trace = passed_on(request.headers)
        if key.log is not None and self.request_log is not None:
            self.request_log.watch(key.log, request, answer, meter)
        return meter

    def _check_key(self, request: Request, address: str, seen: Seen | None) -> Key:
        table = self.routes.table
        if table is None:
            raise unavailable("The gateway waits for its first route table.", retry_after=1)
        text = presented_key(request.headers.get(b"authorization"), request.headers.get(b"x-api-key"))
        key = table.keys.check(text, request.at, seen)
        if key is None:
            self.site.metrics.wrong_keys += 1
            raise wrong_key()
        if not key.may_come_from(address):
            raise wrong_network(address)
        return key

    def _check_again(self, request: Request) -> None:
        """A key may be revoked while a slow body arrives, or while the requests before it are answered."""
        table, key = self.routes.table, request.key
        if table is None or key is None or request.refusal is not None or table.keys.still(key):
            return
        current = table.keys.current(key, self.site.clock.now())
        if current is None:
            self.site.metrics.wrong_keys += 1
            request.refusal = wrong_key()
        else:
            request.key = current

    def _check_internal(self, request: Request, local: bool) -> None:
        text = presented_key(request.headers.get(b"authorization"), None)
        if not hmac.compare_digest(text, self.internal_token.encode()) or not local:
            raise wrong_key()

    def _models(self, request: Request, key: Key, answer: Answer) -> None:
        table = self.routes.table
        routes = table.visible(key) if table is not None else []
        if self.only is not None:
            routes = [route for route in routes if route.public == self.only]
        wanted = (
            request.path.partition(b"?")[0].removeprefix(b"/v1/models").removeprefix(b"/").decode("ascii", "replace")
        )
        describe = _anthropic_model if b"anthropic-version" in request.headers else _openai_model
        if wanted:
            route = next((route for route in routes if route.public == wanted), None)
            if route is None:
                answer.error(unknown_model(wanted))
            else:
                answer.whole(encode(describe(route)))
            return
        models = [describe(route) for route in routes]
        listed: dict[str, Any] = {"object": "list", "data": models}
        if describe is _anthropic_model:
            ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {}
            listed = {"data": models, "has_more": False, "first_id": None, "last_id": None} | ends
        answer.whole(encode(listed), http.JSON)


def _check_kind(request: Request) -> None:
    kind = request.headers.get(b"content-type", _JSON)
    if kind != _JSON and kind.partition(b";")[0].strip().lower() not in _JSON_TYPES:
        shown = kind[:80].decode("ascii", "replace")
        raise ApiError(415, f"The body must be application/json, not {shown}.", code="unsupported_media_type")
    encoding = request.headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise ApiError(415, "The body must not be compressed.", code="unsupported_media_type")


def _cannot_record(error: OSError) -> ApiError:
    message = f"Usage cannot be recorded on the gateway's disk ({error.strerror}), so nothing is served until it can."
    return unavailable(message, retry_after=5, code="storage_unavailable")


def _openai_model(route: Route) -> dict[str, Any]:
    entry = route.entry
    model = {"id": route.public, "object": "model", "created": int(entry.created_at), "owned_by": "aicp"}
    return model if entry.context_length is None else {**model, "max_model_len": entry.context_length}


def _anthropic_model(route: Route) -> dict[str, Any]:
    created = datetime.fromtimestamp(route.entry.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": route.public, "display_name": route.public, "created_at": created}
