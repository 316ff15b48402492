"""What a cache reads of a request: which one it is, whether it may be answered from memory, what it asks."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

import msgspec

from aicp.core.route import CacheEntry
from aicp.gateway.bodies import Fields
from aicp.gateway.cache_words import gist_digest
from aicp.gateway.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, Endpoint

LONGEST_TEXT = 2000
"""Characters of a question that may be answered by likeness: a long one holds more than a vector tells apart."""
_CONTROL_HEADER = b"cache-control"
_LEFT_OUT = frozenset({"stream", "stream_options", "user", "metadata", "prompt_cache_key", "safety_identifier"})
"""Fields that do not change what an engine says."""
_SPECIAL = ("tools", "functions", "logprobs", "top_logprobs", "audio", "echo", "suffix", "prompt_logprobs")
"""Fields whose answers have more than a text: they are kept as they came."""
_ANSWERS = ("n", "best_of")
_CACHED = (CHAT, COMPLETIONS, EMBEDDINGS)
_decode = msgspec.json.decode
_encode = msgspec.json.Encoder(order="deterministic").encode


class Question:
    """One request as a cache sees it. `key` is the same for requests that any engine answers alike."""

    __slots__ = ("chat", "gist", "key", "plain", "reads", "show_usage", "space", "stream", "text")

    def __init__(self, key: bytes, *, chat: bool, plain: bool, reads: bool, stream: bool, show_usage: bool) -> None:
        self.key = key
        self.chat = chat
        self.plain = plain
        """Its answer is one text, which can be given whole or as a stream; another one is given as it came."""
        self.reads = reads
        """It may be answered from the cache; else only its answer is kept."""
        self.stream, self.show_usage = stream, show_usage
        self.text = ""
        """The one message that counts; empty where only the very same request is alike."""
        self.space = b""
        """All else that it says, as a digest: only questions of one space are compared."""
        self.gist = b""


def read_question(
    rule: CacheEntry, endpoint: Endpoint, fields: Fields, headers: Mapping[bytes, bytes]
) -> Question | None:
    """None for a request that is not to be kept, and for one that its engine will refuse."""
    wanted = headers.get(_CONTROL_HEADER, b"").lower()
    if endpoint not in _CACHED or b"no-store" in wanted:
        return None
    try:
        values = {name: _decode(bytes(raw)) for name, raw in fields.items() if name not in _LEFT_OUT}
        stream, show_usage = _streamed(fields)
        plain = endpoint is not EMBEDDINGS and _is_plain(endpoint, values)
        if endpoint is not EMBEDDINGS and not rule.any_temperature and not _is_zero(values.get("temperature")):
            return None
        form = b"" if plain else b"%d%d" % (stream, show_usage)
        body = _encode(values)
    except (msgspec.DecodeError, msgspec.EncodeError, RecursionError, UnicodeError):
        return None
    key = sha256(endpoint.path.encode() + b"\0" + form + b"\0" + body).digest()
    reads = b"no-cache" not in wanted
    question = Question(key, chat=endpoint is CHAT, plain=plain, reads=reads, stream=stream, show_usage=show_usage)
    if rule.embedding_model is not None and plain and endpoint is CHAT:
        _read_text(question, values)
    return question


def _read_text(question: Question, values: dict[str, Any]) -> None:
    """The question of a single turn: what came before it, and all other fields, make its space."""
    *before, last = values["messages"]
    text = last.get("content")
    if last.get("role") != "user" or any(one.get("role") not in ("system", "developer") for one in before):
        return
    if type(text) is not str or not text or len(text) > LONGEST_TEXT or "```" in text:
        return
    question.gist = gist_digest(text)
    if question.gist:
        question.text = text
        question.space = sha256(_encode({**values, "messages": [*before, {**last, "content": None}]})).digest()[:16]


def _is_plain(endpoint: Endpoint, values: Mapping[str, Any]) -> bool:
    if any(values.get(name) for name in _SPECIAL) or any(values.get(name) not in (None, 1) for name in _ANSWERS):
        return False
    if values.get("modalities") not in (None, ["text"]):
        return False
    if endpoint is COMPLETIONS:
        return type(values.get("prompt")) is str
    messages = values.get("messages")
    return type(messages) is list and bool(messages) and all(map(_is_text, cast(list[Any], messages)))


def _is_text(message: Any) -> bool:
    """Whether it is a message without media and calls."""
    if type(message) is not dict:
        return False
    content = cast(dict[str, Any], message).get("content")
    if type(content) is list:
        parts = cast(list[Any], content)
        return all(type(part) is dict and cast(dict[str, Any], part).get("type") == "text" for part in parts)
    return type(content) is str


def _is_zero(temperature: Any) -> bool:
    return type(temperature) in (int, float) and temperature == 0


def _streamed(fields: Fields) -> tuple[bool, bool]:
    """Whether it asks for a stream, and for usage in it."""
    if bytes(fields.get("stream", b"")) != b"true":
        return False, True
    options = _decode(bytes(fields.get("stream_options", b"null")))
    return True, type(options) is dict and cast(dict[str, Any], options).get("include_usage") is True
