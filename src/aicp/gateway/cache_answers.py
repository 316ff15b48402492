"""Answers as a cache keeps them: a plain one in one form, from which both a whole answer and a stream can be made."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from aicp.gateway import http
from aicp.gateway.bodies import encode
from aicp.gateway.cache_questions import Question
from aicp.gateway.record import Record
from aicp.gateway.streams import event_data, split_events

_TEXTS = frozenset({"content", "reasoning_content", "reasoning", "refusal"})
"""Parts of a message that are texts, and that pieces of a stream add to."""
_SHARED = ("id", "created", "model", "system_fingerprint")
_PIECE = 48
"""Characters of an event, when a stream is made of a whole answer."""
DONE = b"data: [DONE]\n\n"
_EVENTS = b"text/event-stream"


def kept_form(question: Question, record: Record, kind: bytes, data: bytes) -> tuple[str, bytes] | None:
    """The kind and body that are kept of an answer as its client got it; None for one that is not to be kept."""
    streamed = kind.startswith(_EVENTS)
    try:
        if not question.plain:
            return ("events" if streamed else "json"), data
        if not streamed:
            return ("json", data) if _is_whole(msgspec.json.decode(data), question) else None
        whole = _joined(data, question, record)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return None
    return None if whole is None else ("json", encode(whole))


def text_of(body: bytes) -> str:
    """The text of a kept chat answer."""
    try:
        return str(msgspec.json.decode(body)["choices"][0]["message"].get("content") or "")
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, AttributeError):
        return ""


def events_of(question: Question, body: bytes) -> bytes:
    """A stream of what was kept of a plain answer, up to its last event, which is `DONE`."""
    whole = msgspec.json.decode(body)
    choice = whole["choices"][0]
    base = {name: whole[name] for name in _SHARED if name in whole}
    base["object"] = "chat.completion.chunk" if question.chat else "text_completion"
    pieces = _chat_pieces(choice["message"]) if question.chat else [{"text": one} for one in _cut(choice["text"])]
    events = [{**base, "choices": [{"index": 0, **piece, "finish_reason": None}]} for piece in pieces]
    last: dict[str, Any] = {"delta": {}} if question.chat else {"text": ""}
    events.append({**base, "choices": [{"index": 0, **last, "finish_reason": choice.get("finish_reason")}]})
    if question.show_usage and whole.get("usage"):
        events.append({**base, "choices": [], "usage": whole["usage"]})
    return b"".join(b"data: %b\n\n" % encode(event) for event in events)


def _chat_pieces(message: dict[str, Any]) -> list[dict[str, Any]]:
    pieces: list[dict[str, Any]] = [{"delta": {"role": message.get("role", "assistant"), "content": ""}}]
    for name in ("reasoning_content", "reasoning", "refusal", "content"):
        pieces += [{"delta": {name: one}} for one in _cut(message.get(name) or "")]
    return pieces


def _cut(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _is_whole(whole: Any, question: Question) -> bool:
    """Whether a stream can be made of it without losing anything: one choice that holds texts alone."""
    if len(whole["choices"]) != 1:
        return False
    choice = whole["choices"][0]
    if choice.get("index", 0) != 0 or choice.get("finish_reason") is None or choice.get("logprobs"):
        return False
    if not question.chat:
        return type(choice["text"]) is str
    return _holds_texts(choice["message"])


def _holds_texts(message: dict[str, Any]) -> bool:
    for name, value in message.items():
        if name == "role" or value in (None, [], ""):
            continue
        if name not in _TEXTS or type(value) is not str:
            return False
    return True


def _joined(data: bytes, question: Question, record: Record) -> dict[str, Any] | None:
    """The whole answer that a stream amounts to; None when it has what a whole one of texts has not, or no end."""
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant", "content": ""} if question.chat else {}
    reason: Any = None
    done = False
    for event in split_events(data):
        line = event_data(event)
        if not line:
            continue
        if line == b"[DONE]":
            done = True
            break
        chunk = cast(dict[str, Any], msgspec.json.decode(line))
        whole = whole or {name: chunk[name] for name in _SHARED if name in chunk}
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        if len(choices) > 1 or any(one.get("index", 0) != 0 or one.get("logprobs") for one in choices):
            return None
        for choice in choices:
            reason = choice.get("finish_reason") or reason
            delta = (choice.get("delta") or {}) if question.chat else {"content": choice.get("text") or ""}
            if not _holds_texts(delta):
                return None
            for name in _TEXTS.intersection(delta):
                message[name] = message.get(name, "") + (delta[name] or "")
    if not done or reason is None:
        return None
    whole["object"] = "chat.completion" if question.chat else "text_completion"
    own = {"message": message} if question.chat else {"text": message.get("content", "")}
    whole["choices"] = [{"index": 0, **own, "logprobs": None, "finish_reason": reason}]
    prompt, completion = record.prompt_tokens, record.completion_tokens
    if prompt is not None and completion is not None:
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        whole["usage"] = usage
    return whole


def type_of(kind: str) -> bytes:
    """The content type of what is given again as it came."""
    return http.EVENTS if kind == "events" else http.JSON
