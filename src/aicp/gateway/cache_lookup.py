"""A request at a cache: answered from memory, or sent on with somebody who keeps its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from aicp.gateway import http
from aicp.gateway.answer import Answer
from aicp.gateway.api_keys import Key
from aicp.gateway.bodies import Fields
from aicp.gateway.cache_answers import DONE, events_of, type_of
from aicp.gateway.cache_calls import Desk, EmbeddingCall
from aicp.gateway.cache_keeping import Keeper, Measuring
from aicp.gateway.cache_questions import Question, read_question
from aicp.gateway.cache_store import Cache, Kept
from aicp.gateway.endpoints import Endpoint
from aicp.gateway.errors import ApiError, internal_error
from aicp.gateway.exchange import Exchange
from aicp.gateway.meter import Meter
from aicp.gateway.record import Record

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 0.25
"""How long a client waits for the vector of its question; then the engine is asked."""
_HEADERS = {name: b"x-aicp-cache: %b\r\n" % name.encode() for name in ("exact", "semantic", "miss", "bypass")}


class Lookup:
    """One request whose model has a cache for its project; `question` None: it is not one that is kept."""

    __slots__ = ("cache", "question")

    def __init__(self, cache: Cache, question: Question | None) -> None:
        self.cache, self.question = cache, question

    def answer(
        self,
        desk: Desk,
        key: Key,
        record: Record,
        meter: Meter,
        answer: Answer,
        exchange: Exchange,
        go_on: Callable[[], None],
    ) -> Exchange | Seeking | None:
        """Answers, or lets `go_on` begin the exchange, now or when it is known that nothing is alike.

        None when it is answered. Raises what `go_on` raises.
        """
        cache, question, now = self.cache, self.question, record.started_at.timestamp()
        if question is None:
            answer.more += _HEADERS["bypass"]
            go_on()
            return exchange
        kept = cache.find(question.key, now) if question.reads else None
        if kept is not None:
            give(cache, question, kept, "exact", record, meter, answer)
            return None
        record.cache, record.cache_model = "miss", cache.rule.model
        keeper = Keeper(desk, cache, question, key, record.service)
        answer.witnesses += (keeper,)
        meter.witnesses += (keeper,)
        if question.text and question.reads and not cache.rule.measure and cache.knows(question.space, question.gist):
            return Seeking(desk, self, question, key, record, meter, answer, exchange, keeper, go_on)
        if question.text and cache.rule.measure:
            keeper.measuring = Measuring(desk, cache, question, key, record.request_id)
            keeper.measuring.begin()
        miss(cache, answer)
        go_on()
        return exchange


def look_up(
    caches: Mapping[str, Cache], model: str, endpoint: Endpoint, fields: Fields, headers: Mapping[bytes, bytes]
) -> Lookup | None:
    """What a request asks of its model's cache; None where that has none. To be called before `fields` are changed."""
    cache = caches.get(model)
    return None if cache is None else Lookup(cache, read_question(cache.rule, endpoint, fields, headers))


class Seeking:
    """A request that waits for the vector of its question; it stands in its connection's place of an exchange."""

    def __init__(
        self,
        desk: Desk,
        lookup: Lookup,
        question: Question,
        key: Key,
        record: Record,
        meter: Meter,
        answer: Answer,
        exchange: Exchange,
        keeper: Keeper,
        go_on: Callable[[], None],
    ) -> None:
        self._cache, self._question, self._record = lookup.cache, question, record
        self._meter, self._answer, self._exchange, self._keeper, self._go_on = meter, answer, exchange, keeper, go_on
        self._clock = desk.site.clock
        self._going = self._over = False
        self._call: EmbeddingCall | None = None
        model = self._cache.rule.embedding_model or ""
        self._call = desk.embed(model, key, record.request_id, [question.text], _PATIENCE_SECONDS, self._found)

    def cancel(self, outcome: str = "canceled") -> None:
        """See Exchange: nothing is looked for any more."""
        if self._going:
            self._exchange.cancel(outcome)
            return
        self._over = True
        if self._call is not None:
            self._call.forget()
        self._meter.close(outcome, http.CLIENT_LEFT)

    def pause(self) -> None:
        """See Exchange."""
        self._exchange.pause()

    def resume(self) -> None:
        """See Exchange."""
        self._exchange.resume()

    def check(self, now: float) -> None:
        """See Exchange; looking has a limit of its own."""
        if self._going:
            self._exchange.check(now)

    def _found(self, vectors: list[bytes] | None) -> None:
        if self._over:
            return
        try:
            self._take(vectors)
        except ApiError as error:
            self._meter.close("rejected" if error.status < 500 else "unavailable", error.status)
            self._answer.error(error)
        except Exception:
            log.exception("request %s could not go on from the cache", self._record.request_id)
            self._meter.close("engine_error", 500)
            if self._answer.sent:
                self._answer.abort()
            else:
                self._answer.error(internal_error())

    def _take(self, vectors: list[bytes] | None) -> None:
        cache, question = self._cache, self._question
        kept: Kept | None = None
        if vectors is None:
            cache.note("vectors_failed")
        else:
            self._keeper.vector = vectors[0]
            kept = cache.near(question.space, question.gist, vectors[0], self._clock.now().timestamp()).kept
        if kept is not None:
            self._over = True
            cache.touch(kept)
            give(cache, question, kept, "semantic", self._record, self._meter, self._answer)
            return
        miss(cache, self._answer)
        self._going = True
        self._go_on()


def miss(cache: Cache, answer: Answer) -> None:
    """Nothing is kept for a request."""
    cache.note("miss")
    answer.more += _HEADERS["miss"]


def give(cache: Cache, question: Question, kept: Kept, how: str, record: Record, meter: Meter, answer: Answer) -> None:
    """Answers with what is kept. It costs nothing and takes nothing of what is counted in tokens."""
    cache.note(how)
    cache.note("saved_tokens", kept.tokens)
    record.cache, record.cache_model, record.saved_tokens = how, cache.rule.model, kept.tokens
    meter.tokens.prompt = meter.tokens.completion = 0
    answer.more += _HEADERS[how]
    # a keeper that waits for an engine's answer must not keep this one anew
    answer.witnesses = tuple(one for one in answer.witnesses if not isinstance(one, Keeper))
    if question.plain and question.stream:
        events, last = events_of(question, kept.body), DONE
    elif kept.kind == "events":
        events, last = kept.body, b""
    else:
        meter.close("ok", 200)
        answer.whole(kept.body, type_of(kept.kind))
        return
    meter.first_token()
    answer.piece(events, http.EVENTS)
    meter.close("ok", 200)
    answer.end(last, http.EVENTS)
