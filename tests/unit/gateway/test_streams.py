"""What a client sees of an engine's stream: every byte, except usage it did not ask for and errors in another form."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from aicp.gateway.chat_answers import TranslatedStream
from aicp.gateway.endpoints import MESSAGES
from aicp.gateway.errors import ApiError, Dialect
from aicp.gateway.response_objects import ResponseWriter
from aicp.gateway.streams import ChatStream, Stream, TypedStream
from aicp.gateway.tokens import Tokens

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def event(value: Any, before: bytes = b"", end: bytes = b"\n\n") -> bytes:
    return before + b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + end


def chunk(text: str, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}], **more}


def fed(stream: Stream, data: bytes, size: int) -> bytes:
    """What comes out of a stream that arrives in pieces of `size` bytes."""
    return b"".join(stream.feed(data[at : at + size]) for at in range(0, len(data), size)) + stream.finish()


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("shown", [False, True])
def test_what_the_gateway_does_not_know_passes_byte_by_byte(shown: bool, size: int) -> None:
    data = b": a comment\n\n" + event(
        chunk("a", timings={"x": 1.50}, unknown=[None, {}]), b"event: x\nid: 5\nretry: 9\n"
    )
    data += event(b'{ "choices" : [ {"delta":{"content":"\\u00e9"}} ],"big":12345678901234567890}', end=b"\r\n\r\n")
    data += event(chunk("b", usage=None)) + event(chunk('a "usage" and an "error" of "content"'))
    data += event(b'{"not json') + event([1, 2]) + event(b"[DONE]")
    stream = ChatStream(Tokens(), show_usage=shown)
    assert fed(stream, data, size) == data
    assert stream.complete
    assert not stream.failed


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_usage_that_was_not_asked_for_is_counted_and_hidden(end: bytes, size: int) -> None:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE, "timings": {"a": 1.50}}
    data = event(chunk("a", usage=USAGE | {"completion_tokens": 1}), b"id: 1\n", end)
    data += event(last, end=end) + event({"choices": [], "usage": USAGE}, end=end) + event(b"[DONE]", end=end)
    tokens = Tokens()
    seen = fed(ChatStream(tokens, show_usage=False), data, size)
    assert b"usage" not in seen
    assert (tokens.prompt, tokens.completion) == (7, 3)
    events = [json.loads(one.split(b"data: ")[1]) for one in seen.replace(b"\r", b"").split(b"\n\n")[:-2]]
    del last["usage"]
    assert events == [chunk("a"), last]
    assert seen.startswith(b"id: 1\ndata: ")
    assert seen.endswith(b"data: [DONE]" + end)
    assert fed(ChatStream(Tokens(), show_usage=True), data, size) == data


ERRORS: list[tuple[Any, str, str, str | None]] = [
    (
        {"error": {"message": "maximum context length is 5", "type": "BadRequestError", "param": None, "code": 400}},
        "maximum context length is 5",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    (
        {"error": {"message": "/opt/engine.py: secret", "code": 500}},
        "The engine failed",
        "server_error",
        "engine_error",
    ),
    ({"error": "out of memory"}, "The engine failed", "server_error", "engine_error"),
    (chunk("", error={"message": "no such tool", "code": 422}), "no such tool", "invalid_request_error", None),
    (
        {"error": {"message": "busy", "code": 429, "type": "x"}, "usage": USAGE, "choices": []},
        "busy",
        "rate_limit_error",
        None,
    ),
]


@pytest.mark.parametrize(("value", "message", "kind", "code"), ERRORS)
def test_an_error_in_a_stream_has_openai_s_form(value: Any, message: str, kind: str, code: str | None) -> None:
    stream = ChatStream(Tokens(), show_usage=False)
    seen = fed(stream, event(chunk("a")) + event(value), 10_000)
    assert stream.failed
    first, last = seen.rstrip().split(b"\n\n")
    assert json.loads(first.partition(b"data: ")[2]) == chunk("a")
    error = json.loads(last.partition(b"data: ")[2])["error"]
    assert error["message"].startswith(message)
    assert b"secret" not in last
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == (kind, code)


def test_no_error_is_no_error() -> None:
    stream = ChatStream(Tokens(), show_usage=False)
    data = event(chunk("a", error=None))
    assert fed(stream, data, 10_000) == data
    assert not stream.failed


@pytest.mark.parametrize("dialect", list(Dialect))
def test_an_error_of_the_server_of_an_engine_in_a_typed_stream(dialect: Dialect) -> None:
    stream = TypedStream(Tokens(), dialect, "req_1")
    begun = event({"type": "message_start", "message": {"usage": {"input_tokens": 5}}}, b"event: message_start\n")
    seen = fed(stream, begun + event({"error": {"message": "no such tool", "code": 400}}), 10_000)
    assert stream.failed
    assert seen.startswith(begun)
    last = seen.removeprefix(begun)
    assert last.startswith(b"event: error\ndata: ")
    told = json.loads(last.partition(b"data: ")[2])
    assert told["type"] == "error"
    assert (told["error"]["message"] if dialect is MESSAGES.dialect else told["message"]) == "no such tool"


def test_a_translated_stream_tells_why_the_engine_refuses() -> None:
    stream = TranslatedStream(Tokens(), ResponseWriter({"id": "resp_1"}))
    seen = fed(stream, event({"error": {"message": "maximum context length is 5", "code": 400}}), 10_000)
    assert b"response.failed" in seen
    assert b"maximum context length is 5" in seen


@pytest.mark.parametrize(
    "event",
    [
        b'{"choices":[{"index":0,"delta":{"content":"\xff"}}],"usage":{"prompt_tokens":1}}',
        b'{"error":{"message":"\xff"},"choices":[]}',
        b'{"x":"\xff","error":{"message":"no","code":500}}',
        b'{"\xff":1,"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}',
        b'{"type":"message_start","message":{"usage":{"\xff":1}}}',
    ],
)
def test_an_event_that_is_no_text_is_an_engine_s_failure_or_passes_and_no_failure_of_the_gateway(event: bytes) -> None:
    streams: list[Stream] = [
        ChatStream(Tokens(), show_usage=False),
        TypedStream(Tokens(), Dialect.OPENAI, "req_1"),
        TranslatedStream(Tokens(), ResponseWriter({"id": "resp_1"})),
    ]
    for stream in streams:
        with suppress(ApiError):
            stream.feed(b"data: %b\n\n" % event)
