"""What a cache reads of any request, and that no answer changes between a stream and a whole one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicp.core.route import CacheEntry
from aicp.gateway.bodies import Fields, encode
from aicp.gateway.cache_answers import DONE, events_of, kept_form, text_of
from aicp.gateway.cache_questions import Question, read_question
from aicp.gateway.endpoints import CHAT, COMPLETIONS, EMBEDDINGS
from aicp.gateway.record import Record

RULE = CacheEntry("p", "m", 60.0, embedding_model="e", any_temperature=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["messages", "prompt", "input", "stream", "stream_options", "n", "tools", "temperature", "modalities", "user", "x"]
)
MESSAGES = st.lists(st.dictionaries(st.sampled_from(["role", "content", "name"]), VALUES, max_size=3), max_size=3)


def fields_of(body: dict[str, Any]) -> Fields:
    return {name: msgspec.Raw(encode(value)) for name, value in body.items()}


def question_of(body: dict[str, Any]) -> Question:
    question = read_question(RULE, CHAT, fields_of(body), {})
    assert question is not None
    return question


def record() -> Record:
    made = Record("r", "k", "p", "s", CHAT.path, stream=True, started_at=datetime(2026, 1, 1, tzinfo=UTC))
    made.prompt_tokens, made.completion_tokens = 5, 3
    return made


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES, max_size=5), MESSAGES)
def test_no_request_is_an_error(body: dict[str, Any], messages: list[Any]) -> None:
    for endpoint in (CHAT, COMPLETIONS, EMBEDDINGS):
        for more in ({}, {"messages": messages}):
            read_question(RULE, endpoint, fields_of(body | more), {})


def test_the_order_and_the_form_of_fields_do_not_matter() -> None:
    body = {"messages": [{"role": "user", "content": "Hé"}], "a": {"x": 1, "y": [1, 2]}}
    text = b'{"a": {"y":[1, 2],"x":1}, "messages": [ {"content":"H\\u00e9","role":"user"} ]}'
    fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    again = read_question(RULE, CHAT, fields, {})
    assert again is not None
    assert again.key == question_of(body).key
    assert question_of(body | {"a": {"x": 1, "y": [2, 1]}}).key != again.key
    assert question_of(body | {"a": {"x": True, "y": [1, 2]}}).key != again.key


def test_what_may_be_compared() -> None:
    user = {"role": "user", "content": "What is it?"}
    system = {"role": "system", "content": "Be short."}
    plain, told = question_of({"messages": [user]}), question_of({"messages": [system, user]})
    assert plain.text == told.text == "What is it?"
    assert plain.space != told.space
    for messages in (
        [user, {"role": "assistant", "content": "x"}, user],
        [user | {"content": [{"type": "text", "text": "What is it?"}]}],
        [user | {"content": "```\nx\n```"}],
        [user | {"content": "x " * 1001}],
        [user | {"content": "?!"}],
        [user, system],
    ):
        assert question_of({"messages": messages}).text == ""
    assert question_of({"messages": [user | {"name": "ann"}]}).space != plain.space


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(), st.text(), st.booleans())
def test_a_whole_answer_and_its_stream_say_the_same(content: str, thought: str, usage: bool) -> None:
    asked = question_of(
        {"messages": [{"role": "user", "content": "x"}], "stream": True, "stream_options": {"include_usage": usage}}
    )
    message = {"role": "assistant", "content": content, "reasoning_content": thought, "tool_calls": []}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    counted = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    body = encode({"id": "a", "object": "chat.completion", "created": 1, "choices": [choice], "usage": counted})
    assert kept_form(asked, record(), b"application/json", body) == ("json", body)
    stream = events_of(asked, body) + DONE
    assert (b'"usage":' in stream) == usage  # a text would have its quotes escaped
    form = kept_form(asked, record(), b"text/event-stream; charset=utf-8", stream)
    assert form is not None
    whole = json.loads(form[1])
    assert text_of(form[1]) == content
    assert whole["choices"][0]["message"].get("reasoning_content", "") == thought
    assert (whole["usage"], whole["id"], whole["choices"][0]["finish_reason"]) == (counted, "a", "stop")


def test_a_stream_with_more_than_texts_or_without_an_end_is_not_kept() -> None:
    asked = question_of({"messages": [{"role": "user", "content": "x"}], "stream": True})

    def form(*events: Any, done: bytes = DONE) -> Any:
        data = b"".join(b"data: %b\n\n" % encode(event) for event in events) + done
        return kept_form(asked, record(), b"text/event-stream", data)

    def piece(delta: Any, reason: str | None = None, index: int = 0) -> Any:
        return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}

    end = piece({}, "stop")
    assert form(piece({"content": "a"}), end) is not None
    assert form(piece({"content": "a"}), end, done=b"") is None
    assert form(piece({"content": "a"})) is None
    assert form(piece({"tool_calls": [{"index": 0}]}), end) is None
    assert form(piece({"content": "a"}, index=1), end) is None
    assert form(piece({"content": "a", "audio": {"id": "x"}}), end) is None
    assert form({"error": {"message": "no"}}) is None
    assert form([1, 2]) is None
