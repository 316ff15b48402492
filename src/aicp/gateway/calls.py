"""What is sent to an engine for a request, and how its answer becomes the client's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from aicp.gateway import anthropic_messages, http, openai_responses
from aicp.gateway.bodies import Fields, check_fields, encode, flag_field, is_all, with_usage
from aicp.gateway.continuations import HEADER, may_continue
from aicp.gateway.continued_stream import ContinuedStream, no_stream
from aicp.gateway.endpoints import CHAT, COMPLETIONS, MESSAGES, OCR, RESPONSES, SPEECH, Endpoint, served_by
from aicp.gateway.errors import ApiError, invalid, not_supported
from aicp.gateway.forms import Form
from aicp.gateway.links import read_media
from aicp.gateway.model_names import NamedStream, named
from aicp.gateway.ocr import ChatReading, check_images
from aicp.gateway.routes import Route
from aicp.gateway.streams import ChatStream, RawStream, Stream, TypedStream
from aicp.gateway.tokenizing import Tokenizing, detokenized
from aicp.gateway.tokens import Tokens

_BYTES_PER_TOKEN: Final = 4
_MEDIUM_TOKENS: Final = 1000
"""What an image, or another medium, is taken for, however many bytes it has."""
_OUTPUT_TOKENS: Final = 256
"""What a request that names no maximum is taken for."""
_OUTPUT_FIELDS: Final = frozenset({"max_completion_tokens", "max_tokens", "max_output_tokens"})
_ANSWERS: Final = frozenset({"best_of", "n"})
"""How many answers are made."""
_number: Final = msgspec.json.Decoder(int | None).decode
_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_GENERATES: Final = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"})


class Call:
    """One request, ready for any replica of its route.

    `whole` turns the engine's JSON into the client's, of the type `answers` (None: it is passed on), `open_stream`
    makes the stream's relay. `kind` is the body's type where it is not JSON. `raw`: whatever comes is passed on as it
    comes.
    """

    __slots__ = (
        "answers",
        "begun",
        "body",
        "continues",
        "kind",
        "open_stream",
        "path",
        "raw",
        "size",
        "stream",
        "whole",
    )

    def __init__(
        self,
        path: str,
        body: bytes,
        stream: bool,
        open_stream: Callable[[Tokens, str], Stream],
        whole: Callable[[bytes, str], bytes] | None = None,
        *,
        kind: bytes | None = None,
        answers: bytes = http.JSON,
        raw: bool = False,
        size: int | None = None,
    ) -> None:
        self.path, self.body, self.stream, self.open_stream, self.whole = path, body, stream, open_stream, whole
        self.kind, self.answers, self.raw = kind, answers, raw
        self.size = size
        """Bytes of text that its input amounts to, where it holds media."""
        self.continues = ""
        """How another replica goes on with a stream that breaks off; empty: none does."""
        self.begun: ContinuedStream | None = None
        """The stream whose rest this is."""

    def stream_of(self, tokens: Tokens, name: str) -> Stream:
        """The relay of a stream that answers it."""
        if self.begun is not None:
            return self.begun
        stream = self.open_stream(tokens, name)
        if self.continues:
            return ContinuedStream(stream, tokens, self.path, self.continues, self.body)
        return stream

    def go_on(self, stream: Stream | None) -> bool:
        """Becomes the request for what is missing of a stream that broke off. False: there is no such request.

        `begun` is None afterwards where nothing is missing but an end, which the stream makes itself.
        """
        if stream is not None and stream.complete:
            self.begun = None
            return True
        if not isinstance(stream, ContinuedStream):
            return self.begun is not None  # the rest was asked for, and nothing of it has come
        if not stream.lost():
            return False
        self.begun = stream if stream.rest else None
        if stream.rest:
            self.body, self.whole = stream.rest, no_stream
        return True


def make_call(
    endpoint: Endpoint,
    route: Route,
    fields: Fields,
    headers: Mapping[bytes, bytes] = MappingProxyType({}),
    text: bytes = b"",
) -> Call:
    """`text` is what `fields` were read of, or empty where they were changed since.

    Raises ApiError 400 for what the schema or the engine does not allow; LinkedMedia where media must be fetched.
    """
    if endpoint.form and isinstance(fields, Form):
        return _upload(endpoint, route, fields)
    check_fields(fields, route.refused_fields, endpoint.field)
    media = read_media(fields, endpoint.media, text)
    call = _call(endpoint, route, fields, "stream" in fields and flag_field(fields, "stream"), text)
    if call.stream and len(route.replicas) > 1 and headers.get(HEADER) != b"never" and may_continue(fields):
        call.continues = route.entry.continues.get(call.path, "")
    if media is not None:
        call.size = len(call.body) - media.size + media.count * _MEDIUM_TOKENS * _BYTES_PER_TOKEN
    return call


def _call(endpoint: Endpoint, route: Route, fields: Fields, stream: bool, text: bytes) -> Call:
    for path in endpoint.upstream:
        if path in route.endpoints:
            special = _SPECIAL.get(path)
            if special is not None:
                return special(endpoint, path, route, fields, stream)
            return _native(endpoint, path, route, fields, stream, text)
    model = route.entry.upstream_model
    if CHAT.path in route.endpoints and endpoint is RESPONSES:
        return _through_chat(openai_responses.Translation(fields, model), stream)
    if CHAT.path in route.endpoints and endpoint is MESSAGES:
        return _through_chat(anthropic_messages.Translation(fields, model), stream)
    if OCR.path in route.endpoints and endpoint is CHAT:
        reading = ChatReading(fields, route.name, stream=stream)
        return Call(OCR.path, reading.body(model), stream, _events, reading.whole, answers=reading.kind)
    raise _not_served(endpoint, route)


def _not_served(endpoint: Endpoint, route: Route) -> ApiError:
    message = (
        f"The model {route.public!r} does not serve {endpoint.path}; its engine {route.entry.engine} serves "
        f"{served_by(route.endpoints)}."
    )
    return not_supported(message, param="model")


def estimate(call: Call, fields: Fields) -> tuple[int, int]:
    """Tokens of input and output that a request may take, before its engine has counted them."""
    wanted = _OUTPUT_TOKENS if call.path in _GENERATES else 0
    answers, most = 1, 0
    for name, raw in fields.items():
        if name in _OUTPUT_FIELDS:
            most = max(most, _whole(raw))
        elif name in _ANSWERS:
            answers = max(answers, _whole(raw))
    if call.path == COMPLETIONS.path:
        answers *= _prompts(fields)
    size = len(call.body) if call.size is None else call.size
    return max(size // _BYTES_PER_TOKEN, 1), (most or wanted) * answers


def _whole(raw: msgspec.Raw) -> int:
    """A whole number; 0 for what the engine will refuse."""
    try:
        return max(_number(raw) or 0, 0)
    except msgspec.DecodeError:
        return 0


def _prompts(fields: Fields) -> int:
    """How many prompts a text completion has: a list of texts or of lists of tokens is one of prompts."""
    data = bytes(fields.get("prompt", b""))
    if data[:1] != b"[" or data[1:].lstrip()[:1] not in (b'"', b"["):
        return 1
    try:
        return max(len(_list(data)), 1)
    except msgspec.DecodeError:
        return 1


def _native(endpoint: Endpoint, path: str, route: Route, fields: Fields, stream: bool, text: bytes = b"") -> Call:
    if not stream and endpoint.counts_stream and route.entry.upstream_model == route.public:
        # what most are: nothing is made anew for it
        return Call(path, text if text and is_all(fields, text) else encode(fields), stream, _events)
    return _streamed_or_renamed(endpoint, path, route, fields, stream)


def _streamed_or_renamed(endpoint: Endpoint, path: str, route: Route, fields: Fields, stream: bool) -> Call:
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


def _events(tokens: Tokens, _: str) -> Stream:
    return ChatStream(tokens, show_usage=True)


def _upload(endpoint: Endpoint, route: Route, form: Form) -> Call:
    """A form goes to the engine as it came."""
    # some engines call a list of values with the brackets, and some without
    check_fields({name.removesuffix("[]"): raw for name, raw in form.items()}, route.refused_fields, endpoint.field)
    files = [part for part in form.parts if part.file]
    if [part.name for part in files] != [endpoint.field]:
        message = f"The form must hold one file, called {endpoint.field!r}."
        raise invalid(message, param=endpoint.field, code="missing_field")
    if endpoint.path not in route.endpoints:
        raise _not_served(endpoint, route)
    body, stream = form.body(route.entry.upstream_model), flag_field(form, "stream")
    size = len(body) - form.file_bytes + _MEDIUM_TOKENS * _BYTES_PER_TOKEN

    def open_stream(tokens: Tokens, name: str) -> Stream:
        return NamedStream(_events(tokens, name), route.name) if stream else RawStream(tokens)

    return Call(endpoint.path, body, stream, open_stream, kind=form.kind, raw=not stream, size=size)


def _tokenize(endpoint: Endpoint, path: str, route: Route, fields: Fields, stream: bool) -> Call:
    tokenizing = Tokenizing(fields, route.entry.context_length)
    return Call(path, tokenizing.body(route.entry.upstream_model), stream, _events, tokenizing.whole)


def _detokenize(endpoint: Endpoint, path: str, route: Route, fields: Fields, stream: bool) -> Call:
    fields["model"] = msgspec.Raw(encode(route.entry.upstream_model))
    return Call(path, encode(fields), stream, _events, detokenized)


def _speech(endpoint: Endpoint, path: str, route: Route, fields: Fields, stream: bool) -> Call:
    fields["model"] = msgspec.Raw(encode(route.entry.upstream_model))
    return Call(path, encode(fields), stream, lambda tokens, _: RawStream(tokens), raw=True)


def _read_images(endpoint: Endpoint, path: str, route: Route, fields: Fields, stream: bool) -> Call:
    check_images(fields)
    return _native(endpoint, path, route, fields, stream)


_SPECIAL: Final = {"/tokenize": _tokenize, "/detokenize": _detokenize, SPEECH.path: _speech, OCR.path: _read_images}
"""Engines' paths whose requests are more than passed on."""
