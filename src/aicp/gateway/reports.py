"""What engines report of tokens, in the shapes of all schemas that are served."""

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


class Whole(msgspec.Struct, gc=False):
    """An answer: only its counts."""

    usage: Usage | None = None


class Event(msgspec.Struct, gc=False):
    """A streamed event: only what metering needs of it."""

    type: str | None = None
    usage: Usage | None = None
    response: Whole | None = None
    message: Whole | str | None = None
    choices: list[msgspec.Raw] | None = None
    error: Any = None


read_whole = msgspec.json.Decoder(Whole).decode
read_events = msgspec.json.Decoder(Event).decode
read_usage = msgspec.json.Decoder(Usage).decode
"""All three raise msgspec.DecodeError for what has another shape."""
