"""Who sees an answer and keeps it, and who measures what similarity would have answered instead."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aicp.gateway.api_keys import Key
from aicp.gateway.cache_answers import kept_form, text_of
from aicp.gateway.cache_calls import Desk
from aicp.gateway.cache_index import likeness
from aicp.gateway.cache_questions import Question
from aicp.gateway.cache_store import Cache, Kept
from aicp.gateway.cache_words import facts
from aicp.gateway.record import Record

log = logging.getLogger(__name__)

_LONGEST_ANSWER = 1 << 20
"""Bytes as they went to the client; a stream has many for few words."""
_LONGEST_KEPT = 1 << 18
_CALLS = 8
"""Calls of embedding models that nobody waits for, at the same time."""
_CALL_SECONDS = 10.0
_AGREE = 0.9
"""Likeness of two answers that say the same, if their numbers and negations are the same."""


class Keeper:
    """Witness of one answer that is to be kept if it is good and ends whole."""

    def __init__(self, desk: Desk, cache: Cache, question: Question, key: Key, service: str) -> None:
        self._desk, self._cache, self._question, self._key = desk, cache, question, key
        self._record: Record | None = None
        self._service = service
        self._parts: list[bytes] = []
        self._size = 0
        self._kind = b""
        self.vector = b""
        """Of its question, where that is known already."""
        self.measuring: Measuring | None = None

    def saw(self, content_type: bytes, data: bytes) -> None:
        """A part of the answer; of one that is too long nothing is held."""
        self._kind = content_type
        self._size += len(data)
        if self._size <= _LONGEST_ANSWER:
            self._parts.append(data)
        else:
            self._parts.clear()

    def closed(self, record: Record) -> None:
        """How the request ended."""
        self._record = record

    def ended(self, *, whole: bool) -> None:
        """Nothing more comes."""
        record = self._record
        if not whole or record is None or record.outcome != "ok" or record.status != 200 or not self._parts:
            return
        if record.service != self._service:
            return  # a fallback's answer is not what the model says when it is well
        try:
            self._keep(record)
        except Exception:
            log.exception("the answer to request %s could not be kept", record.request_id)

    def _keep(self, record: Record) -> None:
        question, cache, caches = self._question, self._cache, self._desk.routes.caches
        form = kept_form(question, record, self._kind, b"".join(self._parts))
        if form is None or len(form[1]) > _LONGEST_KEPT or not caches.is_current(cache):
            return
        tokens = (record.prompt_tokens or 0) + (record.completion_tokens or 0)
        now = self._desk.site.clock.now().timestamp()
        kept = Kept(question.key, now, *form, tokens, question.space, question.gist)
        caches.keep(cache, kept, self.vector)
        if self.measuring is not None:
            self.measuring.answered(kept)
        elif question.text and not self.vector:
            self._embed(kept, record.request_id)

    def _embed(self, kept: Kept, name: str) -> None:
        """Asks for the vector of the question when its client has its answer."""
        caches, cache = self._desk.routes.caches, self._cache

        def take(vectors: list[bytes]) -> None:
            caches.give_vector(cache, kept, vectors[0])

        in_background(self._desk, cache, self._key, name, [self._question.text], take)


class Measuring:
    """One request that the engine answers, and what likeness would have answered: their agreement is counted.

    `gated`: a question was near enough by its vector, and the words said no.
    """

    def __init__(self, desk: Desk, cache: Cache, question: Question, key: Key, name: str) -> None:
        self._desk, self._cache, self._question, self._key, self._name = desk, cache, question, key, name
        self._vector = b""
        self._would: Kept | None = None
        self._real: Kept | None = None

    def begin(self) -> None:
        """Asks for the vector of the question, beside the engine."""
        in_background(self._desk, self._cache, self._key, self._name, [self._question.text], self._found)

    def answered(self, kept: Kept) -> None:
        """The engine's answer is here."""
        self._real = kept
        if self._vector:
            self._desk.routes.caches.give_vector(self._cache, kept, self._vector)
        self._judge()

    def _found(self, vectors: list[bytes]) -> None:
        question, cache = self._question, self._cache
        self._vector = vectors[0]
        found = cache.near(question.space, question.gist, self._vector, self._desk.site.clock.now().timestamp())
        if found.kept is not None and found.kept.key != question.key:
            self._would = found.kept
        elif found.gated and found.kept is None:
            self._verdict("gated")
        if self._real is not None:
            self._desk.routes.caches.give_vector(cache, self._real, self._vector)
        self._judge()

    def _judge(self) -> None:
        if self._would is None or self._real is None:
            return
        would, real = text_of(self._would.body), text_of(self._real.body)
        if would.split() == real.split():
            self._verdict("agreed")
            return
        if facts(would) != facts(real) or not would or not real:
            self._verdict("disagreed")
            return

        def compare(vectors: list[bytes]) -> None:
            self._verdict("agreed" if likeness(vectors[0], vectors[1]) >= _AGREE else "disagreed")

        in_background(self._desk, self._cache, self._key, self._name, [would, real], compare)

    def _verdict(self, what: str) -> None:
        """Counts it here, and for the platform: a line of the usage log that is no request."""
        self._cache.note(what)
        now, site = self._desk.site.clock.now(), self._desk.site
        record = Record(
            f"{self._name}.{what}", self._key.id, self._key.project, "", "cache", stream=False, started_at=now
        )
        record.outcome, record.cache, record.cache_model = "ok", what, self._cache.rule.model
        try:
            site.log.begin(record)
            site.log.end(record)
        except OSError as error:
            log.debug("a measurement of the cache cannot be written: %s", error)


def in_background(
    desk: Desk, cache: Cache, key: Key, name: str, texts: list[str], take: Callable[[list[bytes]], None]
) -> None:
    """Asks for vectors that nobody waits for, unless too many are asked for already."""
    caches, model = desk.routes.caches, cache.rule.embedding_model
    if model is None or caches.calls >= _CALLS:
        cache.note("vectors_left_out")
        return

    def done(vectors: list[bytes] | None) -> None:
        caches.calls -= 1
        if vectors is None:
            cache.note("vectors_failed")
        else:
            take(vectors)

    caches.calls += 1
    desk.embed(model, key, name, texts, _CALL_SECONDS, done)
