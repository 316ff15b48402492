"""Responses and messages by way of chat completions: each public field is honored or refused by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_message_create_params
from openai.types.responses import response_create_params

from aicp.core.route import RouteEntry
from aicp.gateway import message_fields, response_fields
from aicp.gateway.bodies import read_fields
from aicp.gateway.calls import Call, make_call
from aicp.gateway.endpoints import MESSAGES, RESPONSES, Endpoint
from aicp.gateway.errors import ApiError
from aicp.gateway.routes import Route

ROUTE = Route(RouteEntry("demo", "demo", None, "chat", "test", "inner", ["/v1/chat/completions"], [], []), ())
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
LEAST: dict[str, dict[str, Any]] = {
    RESPONSES.path: {"input": "Hi"},
    MESSAGES.path: {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
}
FUNCTION = {"type": "function", "name": "weather", "parameters": SCHEMA}
TOOL = {"name": "weather", "input_schema": SCHEMA}


def call(endpoint: Endpoint, body: dict[str, Any]) -> Call:
    fields = read_fields(json.dumps({"model": "demo", **LEAST[endpoint.path], **body}).encode())
    return make_call(endpoint, ROUTE, fields)


def sent(endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
    """What the engine gets beside the model and the messages."""
    got: dict[str, Any] = json.loads(call(endpoint, body).body)
    del got["model"], got["messages"]
    if endpoint is MESSAGES:
        del got["max_tokens"]
    return got


def public_fields(*classes: Any) -> set[str]:
    return {name for one in classes for base in one.__mro__ for name in getattr(base, "__annotations__", {})}


def test_every_public_field_has_its_rule() -> None:
    """A new version of a schema brings new fields; each needs a decision."""
    ours = public_fields(
        response_create_params.ResponseCreateParamsNonStreaming, response_create_params.ResponseCreateParamsStreaming
    )
    assert ours - set(response_fields.RULES) == set()
    theirs = public_fields(
        message_create_params.MessageCreateParamsNonStreaming,
        message_create_params.MessageCreateParamsStreaming,
        beta_message_create_params.MessageCreateParamsNonStreaming,
        beta_message_create_params.MessageCreateParamsStreaming,
    )
    assert theirs - set(message_fields.RULES) - {"betas"} == set(), "`betas` is a header"


TRANSLATED: list[tuple[Endpoint, dict[str, Any], dict[str, Any]]] = [
    (RESPONSES, {"max_output_tokens": 9}, {"max_tokens": 9}),
    (RESPONSES, {"temperature": 0.5, "top_p": 0.9, "user": "u"}, {"temperature": 0.5, "top_p": 0.9, "user": "u"}),
    (RESPONSES, {"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    (RESPONSES, {"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
    (RESPONSES, {"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}),
    (RESPONSES, {"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    (
        RESPONSES,
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    (
        RESPONSES,
        {"tools": [FUNCTION | {"strict": True, "description": "d"}], "tool_choice": "required"},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "weather", "description": "d", "parameters": SCHEMA, "strict": True},
                }
            ],
            "tool_choice": "required",
        },
    ),
    (RESPONSES, {"tool_choice": "none"}, {}),
    (RESPONSES, {"top_k": 5, "min_p": 0.1}, {"top_k": 5, "min_p": 0.1}),
    (MESSAGES, {"stop_sequences": ["END"]}, {"stop": ["END"]}),
    (MESSAGES, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}),
    (MESSAGES, {"metadata": {"user_id": "u"}}, {"user": "u"}),
    (MESSAGES, {"output_config": {"effort": "high"}}, {"reasoning_effort": "high"}),
    *(
        (
            MESSAGES,
            body,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
                }
            },
        )
        for body in (
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        )
    ),
    (MESSAGES, {"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
    (MESSAGES, {"thinking": {"type": "adaptive", "display": "summarized"}}, {}),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 10_000}}, {"reasoning_effort": "medium"}),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 50_000}}, {"reasoning_effort": "high"}),
    (
        MESSAGES,
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "max"}},
        {"reasoning_effort": "max"},
    ),
    (
        MESSAGES,
        {"tools": [TOOL | {"strict": True}], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
        },
    ),
    (MESSAGES, {"tool_choice": {"type": "auto"}}, {}),
]


@pytest.mark.parametrize(("endpoint", "body", "expected"), TRANSLATED)
def test_a_field_that_chat_completions_have_is_translated(
    endpoint: Endpoint, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert sent(endpoint, body) == expected


HARMLESS: list[tuple[Endpoint, dict[str, Any]]] = [
    (RESPONSES, {"metadata": {"a": "b"}}),
    (RESPONSES, {"max_tool_calls": 3}),
    (RESPONSES, {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {"ttl": "30m"}}),
    (RESPONSES, {"safety_identifier": "s"}),
    (RESPONSES, {"service_tier": "auto"}),
    (RESPONSES, {"service_tier": "default"}),
    (RESPONSES, {"store": False, "background": False, "truncation": "disabled", "top_logprobs": 0}),
    (RESPONSES, {"include": ["reasoning.encrypted_content", "file_search_call.results"]}),
    (RESPONSES, {"include": []}),
    (RESPONSES, {"stream_options": {"include_obfuscation": False}}),
    (RESPONSES, {"previous_response_id": None, "conversation": None, "prompt": None, "tools": [], "text": None}),
    (RESPONSES, {"reasoning": {"summary": "detailed", "context": "auto", "mode": "standard"}}),
    (RESPONSES, {"n": 1}),
    (MESSAGES, {"cache_control": {"type": "ephemeral"}}),
    (MESSAGES, {"service_tier": "standard_only"}),
    (MESSAGES, {"speed": "standard"}),
    (MESSAGES, {"mcp_servers": [], "container": None, "tools": []}),
    (MESSAGES, {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}),
]  # fmt: skip


@pytest.mark.parametrize(("endpoint", "body"), HARMLESS)
def test_a_field_without_effect_is_left_out(endpoint: Endpoint, body: dict[str, Any]) -> None:
    assert sent(endpoint, body) == {}


def tools(**more: Any) -> dict[str, Any]:
    return {"tools": [FUNCTION | more]}


def theirs(**more: Any) -> dict[str, Any]:
    return {"tools": [TOOL | more]}


def turn(kind: str) -> list[Any]:
    return [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": kind, "id": "x"}]},
            {"role": "user", "content": "b"}]  # fmt: skip


REFUSED: list[tuple[Endpoint, dict[str, Any], str]] = [
    *(
        (RESPONSES, {name: value}, name)
        for name, value in {
            "access_programs": {"cyber": "standard"},
            "background": True,
            "background_options": {"completion_window": "2h"},
            "context_management": [{"type": "compaction"}],
            "conversation": "conv_1",
            "image": {"context_compression": "auto"},
            "include": ["message.output_text.logprobs"],
            "moderation": {"model": "m"},
            "previous_response_id": "resp_1",
            "prompt": {"id": "p"},
            "service_tier": "priority",
            "store": True,
            "text": {"verbosity": "low"},
            "top_logprobs": 3,
            "truncation": "auto",
            "logprobs": True,
            "n": 2,
            "response_format": {"type": "json_object"},
            "messages": [{"role": "user", "content": "Hi"}],
            "stream_options": {"else": True},
        }.items()
    ),
    (RESPONSES, {"text": {"format": {"type": "grammar"}}}, "text"),
    (RESPONSES, {"text": {"color": "red"}}, "text"),
    (RESPONSES, {"reasoning": {"mode": "pro"}}, "reasoning"),
    (RESPONSES, {"reasoning": {"context": "all_turns"}}, "reasoning"),
    (RESPONSES, {"tools": [{"type": "web_search"}]}, "tools"),
    (RESPONSES, {"tools": [{"type": "custom", "name": "x"}]}, "tools"),
    (RESPONSES, tools(defer_loading=True), "tools"),
    (RESPONSES, tools(allowed_callers=["programmatic"]), "tools"),
    (RESPONSES, tools(output_schema=SCHEMA), "tools"),
    *(
        (RESPONSES, tools() | {"tool_choice": choice}, "tool_choice")
        for choice in (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
            {"type": "web_search_preview"},
            {"type": "mcp", "server_label": "s"},
            {"type": "custom", "name": "x"},
            {"type": "shell"},
            "sometimes",
        )
    ),
    *(
        (MESSAGES, {name: value}, name)
        for name, value in {
            "billing_policy": {"x": 1},
            "compaction": {"enabled": True},
            "container": "c",
            "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
            "diagnostics": {"previous_message_id": "m"},
            "fallbacks": [{"model": "m"}],
            "fallback_credit_token": "t",
            "inference_geo": "eu",
            "mcp_servers": [{"type": "url", "url": "data:x", "name": "n"}],
            "service_tier": "priority",
            "speed": "fast",
            "thread": {"id": "t"},
            "user_profile_id": "p",
            "workspace_id": "w",
            "output_config": {"task_budget": {"total": 5}},
            "thinking": {"type": "between_tools"},
            "n": 3,
            "logprobs": True,
            "stream_options": {"include_usage": True},
        }.items()
    ),
    (MESSAGES, {"output_format": {"type": "xml"}}, "output_config"),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 2000, "else": 1}}, "thinking"),
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
    (MESSAGES, theirs(defer_loading=True), "tools"),
    (MESSAGES, theirs(input_examples=[{"city": "Taipei"}]), "tools"),
    (MESSAGES, theirs(allowed_callers=["code_execution_20260120"]), "tools"),
    (MESSAGES, theirs() | {"tool_choice": {"type": "auto", "else": 1}}, "tool_choice"),
    (MESSAGES, {"messages": turn("server_tool_use")}, "messages"),
    (MESSAGES, {"messages": turn("web_search_tool_result")}, "messages"),
    (MESSAGES, {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
]


def refusal(endpoint: Endpoint, body: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(endpoint, body)
    return caught.value


@pytest.mark.parametrize(("endpoint", "body", "param"), REFUSED)
def test_what_nobody_would_honor_is_refused_by_name(endpoint: Endpoint, body: dict[str, Any], param: str) -> None:
    error = refusal(endpoint, body)
    assert (error.status, error.code, error.param) == (400, "not_supported_by_engine", param)
    assert param in error.message or param in ("messages", "tools")
    assert len(error.message) < 200


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (RESPONSES, {"tool_choice": "required"}, "tool_choice"),
        (RESPONSES, {"tool_choice": {"type": "function", "name": "weather"}}, "tool_choice"),
        (RESPONSES, {"metadata": 5}, "metadata"),
        (RESPONSES, {"reasoning": "high"}, "reasoning"),
        (MESSAGES, {"tool_choice": {"type": "any"}}, "tool_choice"),
        (MESSAGES, {"tool_choice": {"type": "tool", "name": "weather"}}, "tool_choice"),
        (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking"),
        (MESSAGES, {"metadata": "u"}, "metadata"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(endpoint: Endpoint, body: dict[str, Any], param: str) -> None:
    error = refusal(endpoint, body)
    assert (error.status, error.param) == (400, param)
    assert param in error.message


def test_thoughts_that_nobody_wants_to_see_are_left_out() -> None:
    answer = b'{"choices":[{"message":{"reasoning":"Hm.","content":"Yes."},"finish_reason":"stop"}]}'
    for display, kinds in (("summarized", ["thinking", "text"]), ("omitted", ["text"])):
        one = call(MESSAGES, {"thinking": {"type": "adaptive", "display": display}})
        assert one.whole is not None
        whole = json.loads(one.whole(answer, "req_1"))
        assert [block["type"] for block in whole["content"]] == kinds
