"""Token counts as engines report them, in the shapes of all schemas that are served."""

from __future__ import annotations

from typing import Any

import msgspec


class TokenDetails(msgspec.Struct, gc=False):
    """Parts of a count."""

    cached_tokens: int | None = None


class Usage(msgspec.Struct, gc=False):
    """`usage` of OpenAI's chat, completions and embeddings, of its responses, and of Anthropic's messages."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: TokenDetails | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: TokenDetails | None = None
    cache_read_input_tokens: int | None = None
    total_tokens: int | None = None


class Tokens:
    """What one request consumed, as far as its engine told."""

    __slots__ = ("cached", "completion", "prompt")

    def __init__(self) -> None:
        self.prompt: int | None = None
        self.completion: int | None = None
        self.cached: int | None = None

    def update(self, usage: Usage) -> None:
        """Takes what `usage` says and keeps the rest: some schemas tell it in two parts."""
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        details, cached = usage.prompt_tokens_details, usage.cache_read_input_tokens
        if prompt is None:
            prompt, details = usage.input_tokens, details or usage.input_tokens_details
        if completion is None:
            completion = usage.output_tokens
        if prompt is None and completion is None:
            prompt = usage.total_tokens  # rerankers count nothing else
        if details is not None and details.cached_tokens is not None:
            cached = details.cached_tokens
        self.prompt = self.prompt if prompt is None else prompt
        self.completion = self.completion if completion is None else completion
        self.cached = self.cached if cached is None else cached


class _Whole(msgspec.Struct, gc=False):
    usage: Usage | None = None


class Event(msgspec.Struct, gc=False):
    """A streamed event: only what metering needs of it."""

    type: str | None = None
    usage: Usage | None = None
    response: _Whole | None = None
    message: _Whole | str | None = None
    choices: list[msgspec.Raw] | None = None
    error: Any = None


_whole = msgspec.json.Decoder(_Whole)
_event = msgspec.json.Decoder(Event)
_some_usage = msgspec.json.Decoder(Usage)


def usage_of_body(body: bytes) -> Usage | None:
    """The `usage` of a whole JSON answer; None when it has none or is no such object."""
    try:
        return _whole.decode(body).usage
    except (msgspec.DecodeError, RecursionError):
        return None


def usage_of_part(part: bytes) -> Usage | None:
    """The first `usage` object in a piece of an answer that is too large to be held whole."""
    at = part.rfind(b'"usage"')
    start, end = part.find(b"{", at), -1
    depth = 0
    for position in range(start, min(len(part), start + 1000)) if at >= 0 and start >= 0 else ():
        depth += {0x7B: 1, 0x7D: -1}.get(part[position], 0)
        if depth == 0:
            end = position + 1
            break
    try:
        return _some_usage.decode(part[start:end]) if end > 0 else None
    except (msgspec.DecodeError, RecursionError):
        return None


def read_event(data: bytes) -> Event | None:
    """An event's data; None when it is no JSON object, such as `[DONE]`."""
    try:
        return _event.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
