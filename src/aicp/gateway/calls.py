"""What is sent to an engine for a request, and how its answer becomes the client's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from aicp.gateway import anthropic_messages, openai_responses
from aicp.gateway.bodies import Fields, check_fields, encode, flag_field, with_usage
from aicp.gateway.endpoints import CHAT, MESSAGES, RESPONSES, Endpoint
from aicp.gateway.errors import not_supported
from aicp.gateway.links import check_links
from aicp.gateway.model_names import NamedStream, named
from aicp.gateway.routes import Route
from aicp.gateway.streams import ChatStream, Stream, TypedStream
from aicp.gateway.tokens import Tokens

_BYTES_PER_TOKEN = 4
_OUTPUT_TOKENS = 256
"""What a request that names no maximum is taken for."""
_OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_GENERATES = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"})


@dataclass(slots=True)
class Call:
    """One request, ready for any replica of its route.

    `whole` turns the engine's JSON into the client's (None: it is passed on), `open_stream` makes the stream's relay.
    """

    path: str
    body: bytes
    stream: bool
    open_stream: Callable[[Tokens, str], Stream]
    whole: Callable[[bytes, str], bytes] | None = None


def make_call(endpoint: Endpoint, route: Route, fields: Fields) -> Call:
    """Raises ApiError 400 for what the schema or the engine does not allow."""
    check_fields(fields, route.refused_fields, endpoint.field)
    check_links(fields)
    stream = "stream" in fields and flag_field(fields, "stream")
    for path in endpoint.upstream:
        if path in route.endpoints:
            return _native(endpoint, path, route, fields, stream)
    if CHAT.path in route.endpoints and endpoint is RESPONSES:
        return _through_chat(openai_responses.Translation(fields, route.entry.upstream_model), stream)
    if CHAT.path in route.endpoints and endpoint is MESSAGES:
        return _through_chat(anthropic_messages.Translation(fields, route.entry.upstream_model), stream)
    served = ", ".join(sorted(route.endpoints)) or "nothing"
    message = (
        f"The model {route.public!r} does not serve {endpoint.path}; its engine {route.entry.engine} serves {served}."
    )
    raise not_supported(message, param="model")


def estimate(call: Call, fields: Fields) -> tuple[int, int]:
    """Tokens of input and output that a request may take, before its engine has counted them."""
    output = next((fields[name] for name in _OUTPUT_FIELDS if name in fields), None)
    wanted = _OUTPUT_TOKENS if call.path in _GENERATES else 0
    if output is not None:
        with suppress(msgspec.DecodeError):  # the engine will refuse it
            wanted = max(msgspec.json.decode(output, type=int | None) or wanted, 0)
    return max(len(call.body) // _BYTES_PER_TOKEN, 1), wanted


def _native(endpoint: Endpoint, path: str, route: Route, fields: Fields, stream: bool) -> Call:
    dialect, show = endpoint.dialect, with_usage(fields) if stream and endpoint.counts_stream else True

    def open_stream(tokens: Tokens, name: str) -> Stream:
        return ChatStream(tokens, show_usage=show) if endpoint.counts_stream else TypedStream(tokens, dialect, name)

    model = route.entry.upstream_model
    if model == route.public:
        return Call(path, encode(fields), stream, open_stream)
    fields["model"] = msgspec.Raw(encode(model))
    return Call(
        path,
        encode(fields),
        stream,
        lambda tokens, name: NamedStream(open_stream(tokens, name), route.public),
        lambda body, _: named(body, route.public),
    )


def _through_chat(translation: openai_responses.Translation | anthropic_messages.Translation, stream: bool) -> Call:
    body = encode(translation.chat(stream=stream))
    return Call(CHAT.path, body, stream, translation.open_stream, translation.whole)
