"""Items of OpenAI's responses, and the events that a streamed response is made of.

Schema: OpenAI's public API reference, "The response object" and "Streaming events".
"""

from __future__ import annotations

from typing import Any

from aicp.gateway.bodies import encode
from aicp.gateway.chat_answers import Ending
from aicp.gateway.errors import ApiError
from aicp.gateway.tokens import Tokens

Part = dict[str, Any]
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def message(item_id: str, text: str, status: str = "completed") -> Part:
    """What the model said."""
    content = [_text_part(text)] if status == "completed" else []
    return {"type": "message", "id": item_id, "status": status, "role": "assistant", "content": content}


def reasoning(item_id: str, text: str, status: str = "completed") -> Part:
    """What the model thought."""
    content = [_thought_part(text)] if status == "completed" else []
    return {"type": "reasoning", "id": item_id, "status": status, "summary": [], "content": content}


def function_call(item_id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> Part:
    """A tool that the model calls."""
    fields = {"call_id": call_id, "name": name, "arguments": arguments}
    return {"type": "function_call", "id": item_id, "status": status, **fields}


def finished(response: Part, output: list[Part], ending: Ending, tokens: Tokens) -> Part:
    """A response at its end."""
    why = _INCOMPLETE.get(ending.finish_reason or "")
    prompt, completion = tokens.prompt or 0, tokens.completion or 0
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached or 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
    status = {"status": "incomplete", "incomplete_details": {"reason": why}} if why else {"status": "completed"}
    return {**response, **status, "output": output, "usage": usage}


class ResponseWriter:
    """Writes one response as events; at most one output item is open."""

    def __init__(self, response: Part) -> None:
        self._response = response
        self._name = response["id"].removeprefix("resp_")
        self._sequence = -1
        self._output: list[Part] = []
        self._item: Part | None = None
        self._pieces: list[str] = []

    def begin(self, created: int) -> bytes:
        self._response = {**self._response, "created_at": created}
        started = self._event("response.created", response=self._response)
        return started + self._event("response.in_progress", response=self._response)

    def thoughts(self, text: str) -> bytes:
        written = b""
        if self._open_kind() != "reasoning":
            item_id = f"rs_{self._name}_{len(self._output)}"
            written = self._open(reasoning(item_id, "", "in_progress"), _thought_part(""))
        self._pieces.append(text)
        return written + self._event("response.reasoning_text.delta", **self._place(), content_index=0, delta=text)

    def text(self, text: str) -> bytes:
        written = b""
        if self._open_kind() != "message":
            item_id = f"msg_{self._name}_{len(self._output)}"
            written = self._open(message(item_id, "", "in_progress"), _text_part(""))
        self._pieces.append(text)
        fields = {**self._place(), "content_index": 0, "delta": text, "logprobs": []}
        return written + self._event("response.output_text.delta", **fields)

    def tool(self, call_id: str, name: str) -> bytes:
        closed = self._close()
        item_id = f"fc_{self._name}_{len(self._output)}"
        return closed + self._open(function_call(item_id, call_id, name, "", "in_progress"), None)

    def arguments(self, text: str) -> bytes:
        self._pieces.append(text)
        return self._event("response.function_call_arguments.delta", **self._place(), delta=text)

    def end(self, ending: Ending, tokens: Tokens) -> bytes:
        written = b""
        if self._item is None and not self._output:
            written = self._open(message(f"msg_{self._name}_0", "", "in_progress"), _text_part(""))
        written += self._close()
        response = finished(self._response, self._output, ending, tokens)
        return written + self._event(f"response.{response['status']}", response=response)

    def fail(self, error: ApiError) -> bytes:
        reason = {"code": "server_error", "message": error.message}
        response = {**self._response, "status": "failed", "error": reason, "output": self._output}
        return self._event("response.failed", response=response)

    def _open_kind(self) -> str:
        return "" if self._item is None else self._item["type"]

    def _open(self, item: Part, part: Part | None) -> bytes:
        written = self._close()
        self._item = item
        written += self._event("response.output_item.added", output_index=len(self._output), item=item)
        if part is not None:
            written += self._event("response.content_part.added", **self._place(), content_index=0, part=part)
        return written

    def _close(self) -> bytes:
        item, text = self._item, "".join(self._pieces)
        if item is None:
            return b""
        place = self._place()
        if item["type"] == "function_call":
            done = function_call(item["id"], item["call_id"], item["name"], text)
            fields = {**place, "name": item["name"], "arguments": text}
            written = self._event("response.function_call_arguments.done", **fields)
        elif item["type"] == "reasoning":
            done, part = reasoning(item["id"], text), _thought_part(text)
            written = self._event("response.reasoning_text.done", **place, content_index=0, text=text)
            written += self._event("response.content_part.done", **place, content_index=0, part=part)
        else:
            done, part = message(item["id"], text), _text_part(text)
            fields = {**place, "content_index": 0, "text": text, "logprobs": []}
            written = self._event("response.output_text.done", **fields)
            written += self._event("response.content_part.done", **place, content_index=0, part=part)
        written += self._event("response.output_item.done", output_index=len(self._output), item=done)
        self._output.append(done)
        self._item, self._pieces = None, []
        return written

    def _place(self) -> Part:
        return {"item_id": "" if self._item is None else self._item["id"], "output_index": len(self._output)}

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._sequence += 1
        body = encode({"type": kind, "sequence_number": self._sequence, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)


def _text_part(text: str) -> Part:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _thought_part(text: str) -> Part:
    return {"type": "reasoning_text", "text": text}
