"""Every field of OpenAI's "Create a model response", as far as it goes by way of chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicp.gateway.bodies import Fields
from aicp.gateway.errors import not_supported
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

_STORED = "needs stored responses, which this engine has not; send the whole input"
_THEIRS = "needs OpenAI's own servers"
_CACHED = "engines keep the beginnings of prompts by themselves"
RULES: Mapping[str, Rule] = {
    "model": TRANSLATED,
    "input": TRANSLATED,
    "instructions": TRANSLATED,
    "max_output_tokens": TRANSLATED,
    "metadata": TRANSLATED,  # told back
    "reasoning": TRANSLATED,
    "stream": TRANSLATED,
    "text": TRANSLATED,
    "tool_choice": TRANSLATED,
    "tools": TRANSLATED,
    "include": TRANSLATED,
    "stream_options": TRANSLATED,
    "temperature": PASSED,
    "top_p": PASSED,
    "parallel_tool_calls": PASSED,
    "user": PASSED,
    "max_tool_calls": harmless("it counts calls of OpenAI's own tools only, and those are refused"),
    "prompt_cache_key": harmless(_CACHED),
    "prompt_cache_options": harmless(_CACHED),
    "prompt_cache_retention": harmless(_CACHED),
    "safety_identifier": harmless("nobody here looks for abuse by it"),
    "service_tier": refused("can only be auto or default: there is one tier", "auto", "default"),
    "store": refused("cannot be true: nothing is stored; leave it out or set it to false"),
    "truncation": refused("can only be disabled: an input that is too long is refused", "disabled"),
    "top_logprobs": refused("cannot be given to this engine: the answer would have no log probabilities"),
    "background": refused(_STORED),
    "background_options": refused(_STORED),
    "conversation": refused(_STORED),
    "previous_response_id": refused(_STORED),
    "prompt": refused(_STORED),
    "access_programs": refused(_THEIRS),
    "context_management": refused(_THEIRS),
    "image": refused(_THEIRS),
    "moderation": refused(_THEIRS),
    "messages": refused("belongs to chat completions; the input is 'input'"),
    "response_format": refused("belongs to chat completions; the format is 'text.format'"),
}
_INCLUDED = frozenset(
    {
        "reasoning.encrypted_content",  # thoughts come in plain, so nothing is encrypted
        "message.input_image.image_url",  # an answer never repeats its input
        # results of tools that are refused
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
    }
)
"""What may be asked for, since an answer by way of chat completions has nothing of the kind that could be left out."""
_REASONING: Mapping[str, tuple[Any, ...]] = {
    "effort": ANY,
    "summary": ANY,  # thoughts are told whole instead
    "generate_summary": ANY,
    "context": ("auto", "current_turn"),
    "mode": ("standard",),
}


def fields_of_responses(fields: Fields, given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a response's request, apart from its input and tools, a chat request gets. Raises ApiError 400."""
    body = passed_on(fields, given, RULES)
    if given.get("max_output_tokens") is not None:
        body["max_tokens"] = given["max_output_tokens"]
    object_field(given, "metadata")
    check_parts(
        "stream_options", object_field(given, "stream_options"), {"include_obfuscation": ANY, "include_usage": ANY}
    )
    included = given.get("include") or []
    for item in included if isinstance(included, list) else [included]:
        if not isinstance(item, str) or item not in _INCLUDED:
            raise not_supported(f"The field 'include' cannot have {str(item)[:60]!r} here.", param="include")
    text = object_field(given, "text")
    check_parts("text", text, {"format": ANY, "verbosity": ("medium",)})
    if text.get("format") is not None:
        body |= _format(text["format"])
    thinking = object_field(given, "reasoning")
    check_parts("reasoning", thinking, _REASONING)
    if thinking.get("effort") is not None:
        body["reasoning_effort"] = thinking["effort"]
    return body


def _format(shape: Any) -> dict[str, Any]:
    kind = shape.get("type") if isinstance(shape, dict) else None
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if kind == "json_schema":
        wanted = ("name", "description", "schema", "strict")
        schema = {name: shape[name] for name in wanted if shape.get(name) is not None}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    raise not_supported(f"The text format {kind!r} cannot be given to this engine.", param="text")
