"""Whatever JSON a client sends, it is served or refused by a 4xx that names a reason; nothing else may come out."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aicp.core.route import RouteEntry
from aicp.gateway.bodies import DEPTH, read_fields, too_deep
from aicp.gateway.calls import make_call
from aicp.gateway.endpoints import CHAT, MESSAGES, RESPONSES, Endpoint
from aicp.gateway.errors import ApiError
from aicp.gateway.routes import Route

ROUTE = Route(
    RouteEntry(
        name="demo",
        service="demo",
        project=None,
        type="chat",
        engine="test",
        upstream_model="inner",
        endpoints=["/v1/chat/completions"],
        refused_fields=["priority"],
        targets=[],
    ),
    (),
)
NAMES = [
    "type",
    "role",
    "content",
    "text",
    "name",
    "id",
    "input",
    "output",
    "arguments",
    "call_id",
    "tool_use_id",
    "image_url",
    "url",
    "source",
    "media_type",
    "data",
    "function",
    "parameters",
    "format",
    "schema",
    "effort",
    "is_error",
    "tool_result",
    "tool_use",
    "message",
    "function_call",
    "function_call_output",
    "input_text",
    "input_image",
    "image",
    "user",
    "assistant",
    "system",
    "developer",
    "json_schema",
    "tool",
    "any",
    "auto",
    "reasoning",
    "base64",
]
FIELDS = [
    "messages",
    "input",
    "instructions",
    "system",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "max_tokens",
    "max_output_tokens",
    "stop_sequences",
    "metadata",
    "stream",
    "stream_options",
    "n",
    "thinking",
    "priority",
    "previous_response_id",
    "temperature",
    "stop",
    "logprobs",
    "user",
]
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.floats(allow_nan=False),
    st.sampled_from(NAMES),
    st.text(max_size=4),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5)


def attempt(endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any] | None:
    """What the engine would get; None when it is refused."""
    refusal = None
    try:
        call = make_call(endpoint, ROUTE, read_fields(json.dumps({"model": "demo"} | body).encode()))
    except ApiError as error:
        refusal = error
    if refusal is not None:
        assert 400 <= refusal.status < 500
        assert refusal.message
        return None
    sent: dict[str, Any] = json.loads(call.body)
    assert sent["model"] == "inner"
    assert "priority" not in sent
    return sent


@given(BODIES)
@settings(max_examples=600, deadline=None)
@example({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "tool_choice": {"type": ["tool"]}})
@example({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "system": 5})
def test_messages(body: dict[str, Any]) -> None:
    body.setdefault("max_tokens", 5)
    body.setdefault("messages", [{"role": "user", "content": "Hi"}])
    sent = attempt(MESSAGES, body)
    if sent is not None:
        assert all(message["role"] in ("user", "assistant", "system", "tool") for message in sent["messages"])


@given(BODIES)
@settings(max_examples=600, deadline=None)
@example({"input": "Hi", "text": {"format": {"type": ["text"]}}})
@example({"input": "Hi", "metadata": 5})
def test_responses(body: dict[str, Any]) -> None:
    body.setdefault("input", "Hi")
    sent = attempt(RESPONSES, body)
    if sent is not None:
        assert all(message["role"] in ("user", "assistant", "system", "tool") for message in sent["messages"])


@given(BODIES)
@settings(max_examples=300, deadline=None)
def test_chat(body: dict[str, Any]) -> None:
    body.setdefault("messages", [{"role": "user", "content": "Hi"}])
    sent = attempt(CHAT, body)
    if sent is not None:
        given_fields = {name: value for name, value in body.items() if name != "stream_options"}
        assert {name: sent[name] for name in given_fields} == given_fields


@given(st.binary(max_size=60) | st.text(alphabet='[]{}":,\\a1', max_size=60).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_any_bytes(data: bytes) -> None:
    with suppress(ApiError):
        fields = read_fields(data)
        assert isinstance(json.loads(data), dict)
        assert set(fields) == set(json.loads(data))


def depth_of(value: Any) -> int:
    """How deep a value nests."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(
    st.recursive(
        st.text(alphabet='[]{}"\\a', max_size=8) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), inner, max_size=2)
        ),
        max_leaves=20,
    ),
    st.integers(1, 8),
)
@settings(max_examples=400, deadline=None)
def test_depth_is_counted_as_json_means_it(value: Any, limit: int) -> None:
    """Brackets within strings do not nest."""
    assert too_deep(json.dumps(value).encode(), limit) == (depth_of(value) > limit)


def test_depth_at_the_limit() -> None:
    for depth in (DEPTH - 1, DEPTH):
        assert read_fields(b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1))
