"""A streamed answer put together: its texts whole, because what must be taken out of them may span its events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from aicp.gateway.body_trimming import is_pieces, without_pieces, without_tail

_PLACES = ("output_index", "content_index", "index")
_LAST_TYPES = ("response.completed", "response.failed", "response.incomplete")
_decode = msgspec.json.Decoder().decode


def reassemble(events: bytes, *, cut: bool = False) -> bytes:
    """The answer that server-sent events amount to, as JSON; an end that is cut off is left out.

    Where it was `cut`, or ends with an error, the last word of each text goes too: it may be the beginning of a secret.

    Of the Responses API that is the response itself. Of others every text by its place, such as `choices.0.content`,
    and of what else was said the last.
    """
    texts: dict[str, list[str]] = {}
    others: dict[str, Any] = {}
    for event in _events(events):
        if event.get("type") in _LAST_TYPES and "response" in event:
            return msgspec.json.encode(without_pieces(event["response"]))
        _take(event, texts, others)
    whole = {place: "".join(pieces) for place, pieces in texts.items()}
    if cut or "error" in others:
        whole = {place: without_tail(text) for place, text in whole.items()}
    return msgspec.json.encode({**whole, **without_pieces(others)})


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    for line in lines[:-1]:
        if not line.startswith(b"data:"):
            continue
        try:
            event = _decode(line[5:].strip())
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # the mark of the end, or what is no JSON
        if isinstance(event, dict):
            yield event


def _take(event: dict[str, Any], texts: dict[str, list[str]], others: dict[str, Any]) -> None:
    kind = event.get("type")
    if kind is None:
        for name, value in event.items():
            if name == "choices":
                _walk(value, name, texts, others)
            elif value is not None:
                others[name] = value
        return
    place = ".".join(str(event[name]) for name in _PLACES if name in event)
    base = f"content.{place}" if place else str(kind)
    delta = event.get("delta", event.get("content_block"))
    if isinstance(delta, str):
        texts.setdefault(base, []).append(delta)
    elif isinstance(delta, dict):
        _walk(delta, base, texts, others)
    elif kind in ("error", "message_start"):
        others[str(kind)] = event.get("error", event.get("message"))
    if "usage" in event:
        others["usage"] = event["usage"]


def _walk(value: Any, place: str, texts: dict[str, list[str]], others: dict[str, Any]) -> None:
    """Texts under `delta` come in pieces; so does `text` of the older schema."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "index" or inner is None or is_pieces(name, inner):
                continue
            _walk(inner, place if name in ("delta", "function") else f"{place}.{name}", texts, others)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            index = inner.get("index", number) if isinstance(inner, dict) else number
            _walk(inner, f"{place}.{index}", texts, others)
    elif isinstance(value, str) and not place.endswith((".finish_reason", ".role", ".type", ".id", ".stop_reason")):
        texts.setdefault(place, []).append(value)
    else:
        others[place] = value
