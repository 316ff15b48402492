"""Every field of Anthropic's "Create a Message", as far as it goes by way of chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicp.gateway.bodies import Fields
from aicp.gateway.errors import invalid
from aicp.gateway.translation_rules import (
    ANY,
    PASSED,
    TRANSLATED,
    Rule,
    check_parts,
    harmless,
    object_field,
    passed_on,
    refused,
)

_THEIRS = "needs Anthropic's own servers"
RULES: Mapping[str, Rule] = {
    "model": TRANSLATED,
    "messages": TRANSLATED,
    "max_tokens": TRANSLATED,
    "system": TRANSLATED,
    "stop_sequences": TRANSLATED,
    "stream": TRANSLATED,
    "tools": TRANSLATED,
    "tool_choice": TRANSLATED,
    "metadata": TRANSLATED,  # `user_id`; nothing else is in it
    "thinking": TRANSLATED,
    "output_config": TRANSLATED,
    "output_format": TRANSLATED,  # what `output_config.format` was called before
    "context_management": TRANSLATED,
    "temperature": PASSED,
    "top_p": PASSED,
    "top_k": PASSED,
    "cache_control": harmless("engines keep the beginnings of prompts by themselves"),
    "service_tier": refused("can only be auto or standard_only: there is one tier", "auto", "standard_only"),
    "speed": refused("can only be standard: there is one speed", "standard"),
    "container": refused(_THEIRS),
    "mcp_servers": refused(_THEIRS),
    "inference_geo": refused(_THEIRS),
    "user_profile_id": refused(_THEIRS),
    "workspace_id": refused(_THEIRS),
    "billing_policy": refused(_THEIRS),
    "compaction": refused(_THEIRS),
    "diagnostics": refused(_THEIRS),
    "fallbacks": refused(_THEIRS),
    "fallback_credit_token": refused(_THEIRS),
    "thread": refused(_THEIRS),
    "stream_options": refused("belongs to another schema; a stream of messages always tells its usage"),
}
_BUDGETS = ((4096, "low"), (16384, "medium"))
"""Up to how many tokens of thought an effort goes; more is `high`."""


def fields_of_messages(fields: Fields, given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a message's request, apart from its contents, a chat request gets. Raises ApiError 400."""
    body = passed_on(fields, given, RULES)
    if given.get("stop_sequences"):
        body["stop"] = given["stop_sequences"]
    user = object_field(given, "metadata").get("user_id")
    if user:
        body["user"] = user
    _check_context(given.get("context_management"))
    effort, shape = _thinking(object_field(given, "thinking")), object_field(given, "output_format")
    config = object_field(given, "output_config")
    check_parts("output_config", config, {"effort": ANY, "format": ANY})
    effort = config.get("effort") or effort
    if effort:
        body["reasoning_effort"] = effort
    shape = object_field(config, "format") or shape
    if shape:
        check_parts("output_config", shape, {"type": ("json_schema",), "schema": ANY})
        schema = {"name": "answer", "schema": shape.get("schema"), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def shows_thoughts(given: Mapping[str, Any]) -> bool:
    """Whether the caller wants to see what the model thinks."""
    return object_field(given, "thinking").get("display") != "omitted"


def _thinking(thinking: dict[str, Any]) -> str | None:
    """The effort that comes nearest to what is said of thinking; None leaves it to the model."""
    kinds = ("enabled", "disabled", "adaptive")
    check_parts("thinking", thinking, {"type": kinds, "budget_tokens": ANY, "display": ("summarized", "omitted")})
    if thinking.get("type") == "disabled":
        return "none"
    budget = thinking.get("budget_tokens")
    if thinking.get("type") != "enabled" or budget is None:
        return None
    if not isinstance(budget, int):
        raise invalid("The field 'thinking.budget_tokens' must be a number.", param="thinking", code="invalid_type")
    return next((effort for most, effort in _BUDGETS if budget <= most), "high")


def _check_context(management: Any) -> None:
    """Edits that take away thoughts are honored: thoughts of earlier turns are never told to the engine."""
    edits = management.get("edits") if isinstance(management, dict) else management
    for edit in edits if isinstance(edits, list) else [edits] if edits else []:
        kind = edit.get("type") if isinstance(edit, dict) else edit
        if not isinstance(kind, str) or not kind.startswith("clear_thinking"):
            check_parts("context_management", {"edits": kind or "?"}, {})
