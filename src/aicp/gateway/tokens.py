"""Token counts of requests, read from what engines report."""

from __future__ import annotations

from typing import Final

import msgspec

from aicp.gateway.reports import Event, Usage, read_events, read_usage, read_whole

_MOST: Final = 2**31 - 1


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
        self.prompt = prompt if _sound(prompt) else self.prompt
        self.completion = completion if _sound(completion) else self.completion
        self.cached = cached if _sound(cached) else self.cached


def _sound(count: int | None) -> bool:
    """Whether it is a count: a negative one would pay back, one that no book holds would stop the books."""
    return count is not None and 0 <= count <= _MOST


def usage_of_body(body: bytes) -> Usage | None:
    """The `usage` of a whole JSON answer; None when it has none or is no such object."""
    try:
        return read_whole(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
        return read_usage(part[start:end]) if end > 0 else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_event(data: bytes) -> Event | None:
    """An event's data; None when it is no JSON object, such as `[DONE]`."""
    try:
        return read_events(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
