"""Texts to tokens and back: vLLM's schema for callers, whatever their engine calls its fields.

A request names its fields as vLLM and as llama.cpp do, and each reads its own. vLLM counts in its answer, so that an
answer without a count to a request with `messages`, which llama.cpp passes over, is told from a right one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicp.gateway.bodies import Fields, encode, flag_field, read_value
from aicp.gateway.errors import engine_failed, invalid, not_supported


class Tokenizing:
    """One request for tokens. Raises ApiError 400. `context` is the model's, in tokens."""

    def __init__(self, fields: Fields, context: int | None) -> None:
        self._fields, self._context = fields, context
        self._chat = "messages" in fields
        if self._chat == ("prompt" in fields):
            raise invalid("Give either 'prompt' or 'messages'.", param="prompt", code="missing_field")
        if not self._chat and not isinstance(read_value(bytes(fields["prompt"])), str):
            raise invalid("The field 'prompt' must be text.", param="prompt", code="invalid_type")

    def body(self, model: str) -> bytes:
        """The request of both engines."""
        fields = self._fields | {"model": msgspec.Raw(encode(model))}
        if not self._chat:
            special = "add_special_tokens" not in fields or flag_field(fields, "add_special_tokens")
            fields |= {"content": fields["prompt"], "add_special": msgspec.Raw(encode(special))}
        if flag_field(fields, "return_token_strs"):
            fields["with_pieces"] = msgspec.Raw(b"true")
        return encode(fields)

    def whole(self, body: bytes, _request_id: str) -> bytes:
        """The answer of either, as vLLM's. Raises ApiError 400, or 502 when it is none."""
        answer = _object(body)
        tokens: Any = answer.get("tokens")
        if not isinstance(tokens, list):
            raise engine_failed("The engine's answer has no tokens.")
        if self._chat and "count" not in answer:
            message = "The model's engine makes tokens of a 'prompt' only, not of 'messages'."
            raise not_supported(message, param="messages")
        pieces = answer.get("token_strs")
        if tokens and isinstance(tokens[0], dict):
            found = [token for token in tokens if isinstance(token, dict)]
            pieces = [_text(token.get("piece")) for token in found]
            tokens = [token.get("id") for token in found]
        limit = answer.get("max_model_len", self._context)
        return encode({"count": len(tokens), "max_model_len": limit, "tokens": tokens, "token_strs": pieces})


def detokenized(body: bytes, _request_id: str) -> bytes:
    """The text of either engine's answer, as vLLM's. Raises ApiError 502 when it is none."""
    answer = _object(body)
    text = answer.get("prompt", answer.get("content"))
    if not isinstance(text, str):
        raise engine_failed("The engine's answer is no text.")
    return encode({"prompt": text})


def _text(piece: Any) -> str:
    """llama.cpp tells a piece of a character as a list of bytes."""
    if isinstance(piece, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in piece):
        return bytes(piece).decode("utf-8", "replace")
    return piece if isinstance(piece, str) else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        content: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise engine_failed("The engine's answer is no JSON.") from error
    return content if isinstance(content, dict) else {}
