"""Anthropic's messages on engines that only know chat completions: request, whole answer, stream.

Schema: Anthropic's public API reference, "Create a Message" and "Streaming Messages".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from aicp.gateway.bodies import Fields, encode, read_value, text_field
from aicp.gateway.chat_answers import Ending, TranslatedStream, ending_of, read_completion
from aicp.gateway.errors import ApiError, Dialect, engine_failed, invalid, not_supported
from aicp.gateway.message_fields import fields_of_messages, shows_thoughts
from aicp.gateway.tokens import Tokens
from aicp.gateway.translation_rules import ANY, check_parts

_STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}

Part = dict[str, Any]
_TOOL: Mapping[str, tuple[Any, ...]] = {
    "type": ANY,
    "name": ANY,
    "description": ANY,
    "input_schema": ANY,
    "strict": ANY,
    "cache_control": ANY,  # engines keep the beginnings of prompts by themselves
    "eager_input_streaming": ANY,  # arguments are streamed as they come in any case
    "allowed_callers": (["direct"],),
}
_SAID = frozenset({"text", "tool_use", "thinking", "redacted_thinking"})


class Translation:
    """One request. Raises ApiError 400 for what has no counterpart."""

    def __init__(self, fields: Fields, model: str) -> None:
        self._model = model
        self._name = text_field(fields, "model")
        self._fields = fields
        given: dict[str, Any] = read_value(encode(fields))
        self._given = given
        if "max_tokens" not in given:
            raise invalid("The field 'max_tokens' is missing.", param="max_tokens", code="missing_field")
        self._thoughts = shows_thoughts(given)

    def chat(self, *, stream: bool) -> dict[str, Any]:
        """The chat request."""
        given = self._given
        body = fields_of_messages(self._fields, given)
        body |= {"model": self._model, "messages": self._messages(), "max_tokens": given["max_tokens"]}
        if given.get("tools"):
            body["tools"] = [_tool(tool) for tool in _list(given, "tools")]
        if given.get("tool_choice"):
            body |= _tool_choice(given["tool_choice"], bool(given.get("tools")))
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def whole(self, body: bytes, request_id: str) -> bytes:
        """The message that a chat completion says. Raises ApiError 502 when it is none."""
        completion, choice = read_completion(body)
        message, content = choice.message, list[Part]()
        if message.thoughts and self._thoughts:
            content.append({"type": "thinking", "thinking": message.thoughts, "signature": ""})
        text = message.content or message.refusal
        if text:
            content.append({"type": "text", "text": text})
        for call in message.tool_calls or ():
            name = call.function.name or ""
            arguments = _arguments(call.function.arguments)
            content.append({"type": "tool_use", "id": call.id or "call_0", "name": name, "input": arguments})
        tokens = Tokens()
        if completion.usage is not None:
            tokens.update(completion.usage)
        ending = _ending(ending_of(choice), self._given.get("stop_sequences"))
        return encode(_message(request_id, self._name) | {"content": content, **ending, "usage": _usage(tokens)})

    def open_stream(self, tokens: Tokens, request_id: str) -> TranslatedStream:
        """The stream of events for a stream of chat chunks."""
        stops = self._given.get("stop_sequences")
        return TranslatedStream(tokens, _MessageWriter(request_id, self._name, stops, thoughts=self._thoughts))

    def _messages(self) -> list[Part]:
        messages: list[Part] = []
        system = _text_of(self._given.get("system"), "system")
        if system:
            messages.append({"role": "system", "content": system})
        for message in _list(self._given, "messages"):
            role = message.get("role") if isinstance(message, dict) else None
            content = message.get("content") if isinstance(message, dict) else None
            if role not in ("user", "assistant", "system") or not isinstance(content, str | list):
                text = "Every message needs a role, user or assistant, and content."
                raise invalid(text, param="messages", code="invalid_type")
            if isinstance(content, str):
                messages.append({"role": role, "content": content})
            else:
                blocks = [_block(block) for block in content]
                messages.extend(_said(blocks) if role == "assistant" else _asked(role, blocks))
        if messages and messages[-1]["role"] == "assistant":
            text = "The last message is the model's own: its beginning of an answer cannot be given to this engine."
            raise not_supported(text, param="messages")
        return messages


class _MessageWriter:
    """Writes one message as events; at most one content block is open."""

    def __init__(self, request_id: str, model: str, stops: list[str] | None, *, thoughts: bool) -> None:
        self._request_id, self._model, self._stops, self._thoughts = request_id, model, stops, thoughts
        self._index = -1
        self._open = ""

    def begin(self, created: int) -> bytes:
        start = _message(self._request_id, self._model)
        start |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": _usage(Tokens())}
        return _event("message_start", message=start) + _event("ping")

    def thoughts(self, text: str) -> bytes:
        if not self._thoughts:
            return b""
        opened = self._turn("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        return opened + self._delta(type="thinking_delta", thinking=text)

    def text(self, text: str) -> bytes:
        return self._turn("text", {"type": "text", "text": ""}) + self._delta(type="text_delta", text=text)

    def tool(self, call_id: str, name: str) -> bytes:
        closed = self._close()
        return closed + self._turn("tool_use", {"type": "tool_use", "id": call_id, "name": name, "input": {}})

    def arguments(self, text: str) -> bytes:
        return self._delta(type="input_json_delta", partial_json=text)

    def end(self, ending: Ending, tokens: Tokens) -> bytes:
        delta = _event("message_delta", delta=_ending(ending, self._stops), usage=_usage(tokens))
        return self._close() + delta + _event("message_stop")

    def fail(self, error: ApiError) -> bytes:
        return b"event: error\ndata: %b\n\n" % error.body(Dialect.ANTHROPIC, self._request_id)

    def _turn(self, kind: str, block: Part) -> bytes:
        if self._open == kind:
            return b""
        closed = self._close()
        self._open = kind
        self._index += 1
        return closed + _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", index=self._index)

    def _delta(self, **delta: str) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **fields}))


def _message(request_id: str, model: str) -> Part:
    name = request_id.removeprefix("req_")
    return {"id": f"msg_{name}", "type": "message", "role": "assistant", "model": model}


def _usage(tokens: Tokens) -> Part:
    """Anthropic counts cached input apart; OpenAI's schema counts it in."""
    cached = tokens.cached or 0
    return {
        "input_tokens": max((tokens.prompt or 0) - cached, 0),
        "output_tokens": tokens.completion or 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
    }


def _ending(ending: Ending, stops: list[str] | None) -> Part:
    if ending.finish_reason == "stop" and ending.stop_text in (stops or ()):
        return {"stop_reason": "stop_sequence", "stop_sequence": ending.stop_text}
    return {"stop_reason": _STOP_REASONS.get(ending.finish_reason or "", "end_turn"), "stop_sequence": None}


def _list(given: dict[str, Any], name: str) -> list[Any]:
    value = given.get(name)
    if not isinstance(value, list):
        raise invalid(f"The field {name!r} must be a list.", param=name, code="invalid_type")
    return value


def _block(block: Any) -> Part:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise invalid("Every content block needs a type.", param="messages", code="invalid_type")
    return block


def _text_of(content: Any, param: str) -> str:
    """Text, or blocks of text, as one text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise invalid(f"The field {param!r} must be text or a list of blocks.", param=param, code="invalid_type")
    texts = [block.get("text") if isinstance(block, dict) else None for block in content]
    if not all(isinstance(text, str) for text in texts):
        raise not_supported(f"The field {param!r} may hold text only.", param=param)
    return "\n".join(str(text) for text in texts)


def _asked(role: str, blocks: list[Part]) -> list[Part]:
    """A turn of the user; results of tools become messages of their own."""
    results = [block for block in blocks if block["type"] == "tool_result"]
    parts = [_part(block) for block in blocks if block["type"] != "tool_result"]
    messages: list[Part] = [
        {"role": "tool", "tool_call_id": _named(block, "tool_use_id"), "content": _result(block)} for block in results
    ]
    if parts and all(part["type"] == "text" for part in parts):
        messages.append({"role": role, "content": "\n".join(part["text"] for part in parts)})
    elif parts:
        messages.append({"role": role, "content": parts})
    return messages


def _named(block: Part, name: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise invalid(f"A block of type {block['type']!r} needs {name!r}.", param="messages", code="missing_field")
    return value


def _result(block: Part) -> str:
    text = _text_of(block.get("content"), "messages")
    return f"Error: {text}" if block.get("is_error") else text


def _part(block: Part) -> Part:
    if block["type"] == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    source = block.get("source")
    if block["type"] == "image" and isinstance(source, dict) and source.get("type") == "base64":
        return {
            "type": "image_url",
            "image_url": {"url": f"data:{source.get('media_type')};base64,{source.get('data')}"},
        }
    raise not_supported(f"Content of type {block['type']!r} cannot be given to this engine.", param="messages")


def _said(blocks: list[Part]) -> list[Part]:
    """A turn of the model. Its thoughts are its own and are not told again."""
    other = next((block["type"] for block in blocks if block["type"] not in _SAID), None)
    if other is not None:
        raise not_supported(f"A turn of the model with {other!r} cannot be given to this engine.", param="messages")
    texts = [str(block.get("text", "")) for block in blocks if block["type"] == "text"]
    calls = [
        {
            "id": _named(block, "id"),
            "type": "function",
            "function": {"name": _named(block, "name"), "arguments": encode(block.get("input") or {}).decode()},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    message: Part = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    return [message | {"tool_calls": calls} if calls else message]


def _tool(tool: Any) -> Part:
    if not isinstance(tool, dict) or tool.get("type", "custom") not in ("custom", None):
        kind = tool.get("type") if isinstance(tool, dict) else tool
        raise not_supported(f"The tool type {kind!r} needs Anthropic's own servers.", param="tools")
    check_parts("tools", tool, _TOOL)
    function = {
        "name": tool.get("name"),
        "description": tool.get("description"),
        "parameters": tool.get("input_schema"),
        "strict": tool.get("strict"),
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _tool_choice(choice: Any, tools: bool) -> Part:
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        chosen: Any = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in _TOOL_CHOICES:
        chosen = _TOOL_CHOICES[kind]
    else:
        raise invalid("The field 'tool_choice' must be auto, any, tool or none.", param="tool_choice")
    check_parts("tool_choice", choice, {"type": ANY, "name": ANY, "disable_parallel_tool_use": ANY})
    if not tools:
        if kind in ("auto", "none"):
            return {}
        raise invalid("The field 'tool_choice' asks for a tool, and there are no 'tools'.", param="tool_choice")
    alone = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    return {"tool_choice": chosen, **alone}


def _arguments(text: str | None) -> Any:
    try:
        return msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise engine_failed("The model called a tool with arguments that are no JSON.") from error
