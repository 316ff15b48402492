"""OpenAI's responses on engines that only know chat completions: the request and the whole answer.

Schema: OpenAI's public API reference, "Create a model response". Nothing is stored: every request stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicp.gateway.bodies import Fields, encode, read_value, text_field
from aicp.gateway.chat_answers import TranslatedStream, ending_of, read_completion
from aicp.gateway.errors import invalid, not_supported
from aicp.gateway.response_fields import fields_of_responses
from aicp.gateway.response_objects import ResponseWriter, finished, function_call, message, reasoning
from aicp.gateway.tokens import Tokens
from aicp.gateway.translation_rules import ANY, check_parts

Part = dict[str, Any]
_TOOL: Mapping[str, tuple[Any, ...]] = {
    "type": ANY,
    "name": ANY,
    "description": ANY,
    "parameters": ANY,
    "strict": ANY,
    "allowed_callers": (["direct"],),
}


class Translation:
    """One request. Raises ApiError 400 for what has no counterpart."""

    def __init__(self, fields: Fields, model: str) -> None:
        self._model = model
        self._fields = fields
        self._given: dict[str, Any] = read_value(encode(fields))
        self._name = text_field(fields, "model")

    def chat(self, *, stream: bool) -> dict[str, Any]:
        """The chat request."""
        given = self._given
        body = fields_of_responses(self._fields, given)
        body |= {"model": self._model, "messages": self._messages()}
        choice = given.get("tool_choice") or "auto"
        if given.get("tools"):
            body["tools"] = [_tool(tool) for tool in _list(given["tools"], "tools")]
            body["tool_choice"] = _tool_choice(choice)
        elif choice not in ("auto", "none"):
            raise invalid("The field 'tool_choice' asks for a tool, and there are no 'tools'.", param="tool_choice")
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def whole(self, body: bytes, request_id: str) -> bytes:
        """The response that a chat completion says. Raises ApiError 502 when it is none."""
        completion, choice = read_completion(body)
        name = request_id.removeprefix("req_")
        said, output = choice.message, list[Part]()
        if said.thoughts:
            output.append(reasoning(f"rs_{name}", said.thoughts))
        text = said.content or said.refusal
        if text or not said.tool_calls:
            output.append(message(f"msg_{name}", text or ""))
        for number, call in enumerate(said.tool_calls or ()):
            function = call.function
            call_id = call.id or f"call_{number}"
            output.append(function_call(f"fc_{name}_{number}", call_id, function.name or "", function.arguments or ""))
        tokens = Tokens()
        if completion.usage is not None:
            tokens.update(completion.usage)
        begun = self._response(request_id, completion.created)
        return encode(finished(begun, output, ending_of(choice), tokens))

    def open_stream(self, tokens: Tokens, request_id: str) -> TranslatedStream:
        """The stream of events for a stream of chat chunks."""
        return TranslatedStream(tokens, ResponseWriter(self._response(request_id, 0)))

    def _response(self, request_id: str, created: int) -> Part:
        """The response as it begins, with the request's own settings told back."""
        given = self._given
        return {
            "id": f"resp_{request_id.removeprefix('req_')}",
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": given.get("instructions"),
            "max_output_tokens": given.get("max_output_tokens"),
            "metadata": given.get("metadata") or {},
            "model": self._name,
            "output": [],
            "parallel_tool_calls": given.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "reasoning": given.get("reasoning") or {"effort": None, "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": given.get("temperature"),
            "text": given.get("text") or {"format": {"type": "text"}},
            "tool_choice": given.get("tool_choice") or "auto",
            "tools": given.get("tools") or [],
            "top_p": given.get("top_p"),
            "truncation": "disabled",
            "usage": None,
            "user": given.get("user"),
        }

    def _messages(self) -> list[Part]:
        messages: list[Part] = []
        instructions = self._given.get("instructions")
        if instructions is not None:
            if not isinstance(instructions, str):
                raise invalid("The field 'instructions' must be text.", param="instructions", code="invalid_type")
            messages.append({"role": "system", "content": instructions})
        given = self._given["input"]
        if isinstance(given, str):
            messages.append({"role": "user", "content": given})
            return messages
        for item in _list(given, "input"):
            if not isinstance(item, dict):
                raise invalid("Every item of 'input' must be an object.", param="input", code="invalid_type")
            _add(messages, item)
        if not messages:
            raise invalid("The field 'input' is empty.", param="input", code="invalid_value")
        return messages


def _add(messages: list[Part], item: Part) -> None:
    kind = item.get("type") or "message"
    if kind == "message":
        role = "system" if item.get("role") == "developer" else item.get("role")
        if role not in ("user", "assistant", "system"):
            raise invalid(f"A message cannot have the role {role!r}.", param="input", code="invalid_value")
        messages.append({"role": role, "content": _content(item.get("content"))})
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        # calls of one turn are one message of the model, with what it said before them
        if messages and messages[-1]["role"] == "assistant":
            messages[-1].setdefault("tool_calls", []).append(call)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "function_call_output":
        output = _content(item.get("output"))
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
    elif kind != "reasoning":
        raise not_supported(f"Input of type {kind!r} cannot be given to this engine.", param="input")


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in _list(content, "input")]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: Any) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("input_text", "output_text", "text", "refusal"):
        text = part.get("refusal") if kind == "refusal" else part.get("text")
        if isinstance(text, str):
            return {"type": "text", "text": text}
        raise invalid("A text part needs its text.", param="input", code="invalid_type")
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail") or "auto"}}
    raise not_supported(f"Content of type {kind!r} cannot be given to this engine.", param="input")


def _tool(tool: Any) -> Part:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        kind = tool.get("type") if isinstance(tool, dict) else tool
        raise not_supported(f"The tool type {kind!r} needs OpenAI's own servers.", param="tools")
    check_parts("tools", tool, _TOOL)
    wanted = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in wanted if tool.get(name) is not None}}


def _tool_choice(choice: Any) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    raise not_supported("This 'tool_choice' cannot be given to this engine.", param="tool_choice")


def _list(value: Any, param: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(f"The field {param!r} must be text or a list.", param=param, code="invalid_type")
    return value
